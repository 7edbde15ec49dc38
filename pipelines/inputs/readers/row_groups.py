"""Reads a range of a Parquet file's rows, whatever is damaged: rows that cannot be read are counted, not lost."""

import io
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import first_line
from pipelines.inputs.readers.range_file import CHUNK_BYTES, RangeFile

DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)
"""The exceptions that pyarrow raises on damaged files."""
ROWS_PER_BATCH = 4096
ROWS_PER_BYTE = 8
"""A row takes a bit at least, or else the footer lies: it costs nothing to claim rows, and every row is a record."""


class RowRange(NamedTuple):
    """Consecutive rows of a table."""

    start: int
    rows: int


def row_ranges(groups: Iterable[int], most: int) -> Iterator[RowRange]:
    """Ranges of at most `most` rows that hold every row once, and end where a row group ends wherever they can.

    `groups`: the rows of each row group. Only one of more than `most` rows is cut.
    """
    start = end = 0
    for rows in groups:
        if start < end and end + rows - start > most:
            yield RowRange(start, end - start)
            start = end
        end += rows
        while end - start > most:
            yield RowRange(start, most)
            start += most
    if start < end:
        yield RowRange(start, end - start)


def open_table(file: BinaryIO | RangeFile) -> pq.ParquetFile:
    """Opens a Parquet file, of which no more is read at once than a page, or `CHUNK_BYTES` of small ones.

    Raises ArrowInvalid if the footer cannot be true, or another exception of DAMAGE.
    """
    table = pq.ParquetFile(file, buffer_size=CHUNK_BYTES, pre_buffer=False, page_checksum_verification=True)
    rows, counts, size = table.metadata.num_rows, group_rows(table), file.seek(0, io.SEEK_END)
    if sum(counts) != rows or min(counts, default=0) < 0:
        raise pa.ArrowInvalid(f"the footer says {rows} rows, and row groups of {counts[:100]} rows")
    if rows > ROWS_PER_BYTE * size:
        raise pa.ArrowInvalid(f"the footer says {rows} rows, which {size} bytes cannot hold")
    return table


def group_rows(table: pq.ParquetFile) -> list[int]:
    """The number of rows of each row group."""
    return [table.metadata.row_group(group).num_rows for group in range(table.metadata.num_row_groups)]


@dataclass(frozen=True)
class Gap:
    """Consecutive rows that cannot be read: how many, and why."""

    rows: int
    reason: str


def row_batches(
    table: pq.ParquetFile, columns: list[str] | None, wanted: RowRange, at_once: int = ROWS_PER_BATCH
) -> Iterator[pa.RecordBatch | Gap]:
    """The rows of a range in order, at most `at_once` together; a gap in place of rows that cannot be read.

    Of a row group within which the range begins, pyarrow has to read what comes before: it can skip no page.
    """
    row, stop = wanted.start, wanted.start + wanted.rows
    for group, last in enumerate(itertools.accumulate(group_rows(table))):
        end = min(last, stop)
        if end <= row:
            continue
        reason = "it holds fewer rows than the file's footer says"
        try:
            for batch in _of_group(table, group, columns, last, RowRange(row, end - row), at_once):
                row += len(batch)
                yield batch
        except DAMAGE as error:
            reason = first_line(error)
        if row < end:
            yield Gap(end - row, f"row group {group}: {reason}")
            row = end
    if row < stop:
        yield Gap(stop - row, "the file holds fewer rows than planned")


def _of_group(
    table: pq.ParquetFile, group: int, columns: list[str] | None, last: int, wanted: RowRange, at_once: int
) -> Iterator[pa.RecordBatch]:
    """The wanted rows of a row group, which ends before the file's row number `last`."""
    row, stop = last - table.metadata.row_group(group).num_rows, wanted.start + wanted.rows
    for batch in table.iter_batches(at_once, [group], columns, use_threads=False):
        found = batch.slice(max(0, wanted.start - row), max(0, stop - max(row, wanted.start)))
        row += len(batch)
        if len(found):
            yield found
        if row >= stop:  # a row group may hold many times more
            return
