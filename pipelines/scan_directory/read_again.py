"""Stored embeddings as later steps of a rescoring read them: the good rows are those of the first step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.errors import ReadError
from pipelines.inputs.plan import Shard
from pipelines.inputs.readers.embeddings import EmbeddingRows, broken_rows
from pipelines.inputs.readers.record import UNREAD
from pipelines.inputs.stored_embeddings import EmbeddingSource, rows_or_why
from pipelines.scan_directory.layout import ENCODED, read_table, shard_file
from pipelines.storage import Directory


@dataclass(frozen=True)
class EmbeddingsReadAgain:
    """Embeddings where they are stored, whose rows have a status in `encoded/` already."""

    stored: EmbeddingSource
    output: Directory

    @property
    def dim(self) -> int:
        return self.stored.dim

    def count(self, shards: Sequence[Shard]) -> int:
        """How many rows the shards have in all."""
        return self.stored.count(shards)

    def rows(self, shard: Shard) -> Iterator[EmbeddingRows]:
        """The shard's rows in order; what was bad before is bad now, and is not read if nothing was good.

        Raises ReadError for a row that was good and is not any more: its table must have changed, or cannot be read.
        """
        table = read_table(self.output, shard_file(ENCODED, shard.id), ["status"])
        before = np.array(table["status"].to_pylist(), object)
        if not (before == "ok").any():
            yield from broken_rows(len(before), self.dim, UNREAD, "no row of the shard was good before")
            return
        first = 0
        for rows in rows_or_why(self.stored, shard):
            known = before[first : first + len(rows)]
            lost = np.flatnonzero((known == "ok") & (rows.statuses != "ok"))
            if len(lost):
                row = int(lost[0])
                raise ReadError(
                    f"{shard.urls[0]}, row {shard.start + first + row} was good when it was scored first, and is now "
                    f"{rows.statuses[row]}: {rows.errors[row]}"
                )
            rows.blame(known != "ok", UNREAD, lambda _: "the row was not good before")
            first += len(rows)
            yield rows
