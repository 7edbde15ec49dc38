"""Reads a range of a Parquet file's rows, whatever is damaged: rows that cannot be read are counted, not lost."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import first_line
from pipelines.inputs.readers.parquet import DAMAGE

ROWS_PER_BATCH = 4096


def open_table(file: BinaryIO) -> pq.ParquetFile:
    """Opens a Parquet file. Raises ArrowInvalid if the footer contradicts itself, or another exception of DAMAGE."""
    table = pq.ParquetFile(file, page_checksum_verification=True)
    counts = [table.metadata.row_group(group).num_rows for group in range(table.metadata.num_row_groups)]
    if sum(counts) != table.metadata.num_rows or min(counts, default=0) < 0:
        raise pa.ArrowInvalid(f"the footer says {table.metadata.num_rows} rows, and row groups of {counts} rows")
    return table


@dataclass(frozen=True)
class Gap:
    """Consecutive rows that cannot be read: how many, and why."""

    rows: int
    reason: str


def row_batches(
    table: pq.ParquetFile, columns: list[str] | None, start: int, count: int
) -> Iterator[pa.RecordBatch | Gap]:
    """`count` rows of a Parquet file from `start` on, in order; a gap in place of rows that cannot be read."""
    row, stop, first = start, start + count, 0
    for group in range(table.metadata.num_row_groups):
        first, at = first + table.metadata.row_group(group).num_rows, first
        if first <= row or at >= stop:
            continue
        reason = "it holds fewer rows than the file's footer says"
        try:
            for batch in table.iter_batches(ROWS_PER_BATCH, [group], columns, use_threads=False):
                wanted = batch.slice(max(0, row - at), max(0, stop - max(at, row)))
                at += len(batch)
                if len(wanted):
                    row += len(wanted)
                    yield wanted
                if row == stop:  # a row group may hold many times more
                    return
        except DAMAGE as error:
            reason = first_line(error)
        if row < min(first, stop):
            yield Gap(min(first, stop) - row, f"row group {group}: {reason}")
            row = min(first, stop)
    if row < stop:
        yield Gap(stop - row, "the file holds fewer rows than planned")
