"""Embeddings that a step reads again, wherever they are stored."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipelines.config.rescore import ReadEmbeddings
from pipelines.errors import first_line
from pipelines.inputs.embedding_plan import EMBEDDED, read_rows
from pipelines.inputs.plan import Shard
from pipelines.inputs.readers.embeddings import EmbeddingRows, broken_rows
from pipelines.inputs.readers.record import UNREAD


class EmbeddingSource(Protocol):
    """Where the embeddings of a shard are read from, as often as it takes. `dim`: their length."""

    @property
    def dim(self) -> int: ...

    def rows(self, shard: Shard) -> Iterator[EmbeddingRows]:
        """The shard's rows in order, some thousands at once; those without an embedding say why."""
        ...

    def count(self, shards: Sequence[Shard]) -> int:
        """How many rows the shards have in all."""
        ...


@dataclass(frozen=True)
class StoredEmbeddings:
    """The tables of embeddings that `rescore` is given, ours or foreign."""

    read: ReadEmbeddings
    dim: int
    options: Mapping[str, Any] = field(repr=False)

    def rows(self, shard: Shard) -> Iterator[EmbeddingRows]:
        """The shard's rows in order, checked. Raises whatever `read_rows` does."""
        return read_rows(shard, self.read, self.dim, self.options)

    def count(self, shards: Sequence[Shard]) -> int:
        """How many rows the shards have in all, which their plan tells."""
        return sum(shard.rows or 0 for shard in shards)


@dataclass(frozen=True)
class EitherEmbeddings:
    """Of shards that are tables of embeddings, these; of shards of images, what they have been encoded to."""

    stored: EmbeddingSource
    encoded: EmbeddingSource

    @property
    def dim(self) -> int:
        return self.stored.dim

    def rows(self, shard: Shard) -> Iterator[EmbeddingRows]:
        """The shard's rows in order."""
        return self._of(shard).rows(shard)

    def count(self, shards: Sequence[Shard]) -> int:
        """How many rows the shards have in all."""
        return sum(self._of(shard).count([shard]) for shard in shards)

    def _of(self, shard: Shard) -> EmbeddingSource:
        return self.stored if shard.kind in EMBEDDED else self.encoded


def rows_or_why(embeddings: EmbeddingSource, shard: Shard) -> Iterator[EmbeddingRows]:
    """The rows of a shard, as many as are planned; those that cannot be read say why, whatever is raised."""
    count = 0
    try:
        for rows in embeddings.rows(shard):
            yield rows
            count += len(rows)
    except Exception as error:  # every library that reads has errors of its own
        left = embeddings.count([shard]) - count
        yield from broken_rows(left, embeddings.dim, UNREAD, first_line(error))
