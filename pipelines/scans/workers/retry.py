"""What encoders need to read again the records of a shard that are in error, and to put their rows in place."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.config.scan import Read
from pipelines.errors import ReadError
from pipelines.inputs.listing import kind_of
from pipelines.inputs.locate import read_again
from pipelines.inputs.plan import Shard
from pipelines.inputs.readers.record import Record
from pipelines.inputs.unchanged import while_unchanged
from pipelines.scan_directory.columns import EMBEDDING, LOCATOR, flag_names, scattered
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.layout import EMBEDDINGS, PASSED_OVER_KEY, SCORES, read_table, shard_file
from pipelines.scan_directory.receipts import Receipt
from pipelines.storage import Directory

NO_IMAGE = ("damaged-archive", "truncated-archive", "unsupported-member")
"""The statuses of rows whose place in the file is not that of an image."""
TOLD = ["key", "status", "error", *LOCATOR]


def in_error(rows: pa.Table) -> np.ndarray:
    """The numbers of the rows that are in error and say where their image is."""
    found = []
    for number, row in enumerate(rows.select(TOLD).to_pylist()):
        placed = row["url"] is not None and (row["offset"] is not None or kind_of(row["url"]) != "tar")
        placed = placed and (row["row"] is not None or kind_of(row["url"]) != "parquet")
        if placed and row["status"] != "ok" and row["status"] not in NO_IMAGE:
            found.append(number)
    return np.array(found, np.int64)


@dataclass(frozen=True)
class RecordsInError:
    """Reads, of a shard that was committed to a folder, the records again that are in error.

    One that still cannot be read keeps the error that it had. A shard whose files have changed since it was planned is
    not read: what its rows say of places is of other files.
    """

    output: Directory
    folder: str

    def __call__(
        self, shard: Shard, read: Read, options: Mapping[str, Any], _passed_over: Counter[str]
    ) -> Iterator[Record]:
        table = read_table(self.output, shard_file(self.folder, shard.id), TOLD)
        rows = table.take(pa.array(in_error(table))).to_pylist()
        count = 0
        try:
            for record in while_unchanged(self._records(rows, read, options), shard, options, read.retry_s):
                yield record
                count += 1
        except ReadError:
            yield from (_as_it_was(row) for row in rows[count:])

    @staticmethod
    def _records(rows: list[dict[str, Any]], read: Read, options: Mapping[str, Any]) -> Iterator[Record]:
        for row in rows:
            place = {name: row[name] for name in LOCATOR}
            try:
                content = read_again(**place, read=read, options=options)
            except ReadError:
                yield _as_it_was(row)
            else:
                yield Record(row["key"], content, **place) if content else _as_it_was(row)


def _as_it_was(row: Mapping[str, Any]) -> Record:
    return Record(row["key"], status=row["status"], error=row["error"], **{name: row[name] for name in LOCATOR})


@dataclass(frozen=True)
class RetryCommitter(Committer):
    """Puts the rows of records that were read again in the place of those in error, and commits the shard anew."""

    def commit(self, shard: str, rows: pa.Table, times: Mapping[str, float] = MappingProxyType({})) -> Receipt:
        """Commits a shard. `rows`: of its records in error, in order; others, in any number, change nothing."""
        table = self._committed(shard)
        places = in_error(table)
        return super().commit(shard, _spliced(table, rows, places) if len(rows) == len(places) else table, times)

    def known(self, shard: str) -> Receipt | None:  # noqa: ARG002
        """None: what is committed is what is to be mended."""
        return None

    def _committed(self, shard: str) -> pa.Table:
        """A committed table without flags, and with its embeddings, which a score table has in a table of its own."""
        table = self._whole(self.folder, shard, shard)[1]
        table = table.drop_columns(flag_names(table))
        kept = shard_file(EMBEDDINGS, shard)
        if self.folder != SCORES or not self.output.exists(kept):
            return table
        found = self._whole(EMBEDDINGS, shard)[1]
        vectors = scattered(found[EMBEDDING].combine_chunks(), found["index"].to_numpy(), len(table))
        return table.append_column(EMBEDDING, vectors)


def _spliced(table: pa.Table, rows: pa.Table, places: np.ndarray) -> pa.Table:
    """The table with other rows at some places; in the columns of these rows, whose order is that of a first commit."""
    order = np.arange(len(table))
    order[places] = len(table) + np.arange(len(rows))
    told = (table.schema.metadata or {}).get(PASSED_OVER_KEY)
    both = pa.concat_tables([table.select(rows.column_names).cast(rows.schema), rows])
    merged = both.take(pa.array(order)).set_column(
        both.column_names.index("index"), "index", pa.array(np.arange(len(table)))
    )
    return merged.replace_schema_metadata({PASSED_OVER_KEY: told} if told else None)
