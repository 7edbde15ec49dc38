"""Embeddings that a step reads again, wherever they are stored."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipelines.config.rescore import ReadEmbeddings
from pipelines.inputs.embedding_plan import read_rows
from pipelines.inputs.plan import Shard
from pipelines.inputs.readers.embeddings import EmbeddingRows


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
        """The shard's rows in order, checked. Raises ReadError if the storage fails for good."""
        return read_rows(shard, self.read, self.dim, self.options)

    def count(self, shards: Sequence[Shard]) -> int:
        """How many rows the shards have in all, which their plan tells."""
        return sum(shard.rows or 0 for shard in shards)
