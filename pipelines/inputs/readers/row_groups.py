"""Reads a range of a Parquet file's rows, whatever is damaged: rows that cannot be read are counted, not lost."""

import io
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import first_line
from pipelines.inputs.readers.page_watch import PageLimit, PageWatch, RefusedPage
from pipelines.inputs.readers.range_file import CHUNK_BYTES, RangeFile

DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)
"""The exceptions that pyarrow raises on damaged files."""
ROWS_PER_BATCH = 4096
BATCH_BYTES = 256 * 2**20
"""Of the cells of a batch, if each is as large as a page."""
SMALL_PAGE_BYTES = 64 * 2**20
"""Pages up to this are decompressed whatever the limit for an image: many images share one."""
MOST_PAGE_BYTES, MOST_ROWS, ROWS_PER_BYTE = 256 * 2**20, 1_000_000, 8
"""What a table may claim if it is not said. It costs nothing to claim rows, and every row is a record; rows beyond the
limit must be in proportion to the file, in which only nulls and repetition take less than a bit."""


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


class Table(pq.ParquetFile):
    """A Parquet file of which no page is decompressed that may not be, and no more read at once than a page, or
    `CHUNK_BYTES` of small ones."""

    def __init__(self, file: BinaryIO | RangeFile, max_bytes: int) -> None:
        self.pages, self.limit = PageWatch(file), PageLimit(max(max_bytes, SMALL_PAGE_BYTES))
        super().__init__(self.pages, buffer_size=CHUNK_BYTES, pre_buffer=False, page_checksum_verification=True)


def open_table(file: BinaryIO | RangeFile, max_bytes: int = MOST_PAGE_BYTES, max_rows: int = MOST_ROWS) -> Table:
    """Opens a Parquet file, whose pages are held against `max_bytes` of an image before any is decompressed.

    Raises ArrowInvalid if the footer cannot be true or claims too many rows, or another exception of DAMAGE.
    """
    table = Table(file, max_bytes)
    rows, counts, size = table.metadata.num_rows, group_rows(table), file.seek(0, io.SEEK_END)
    if sum(counts) != rows or min(counts, default=0) < 0:
        raise pa.ArrowInvalid(f"the footer says {rows} rows, and row groups of {counts[:100]} rows")
    if rows > max(max_rows, ROWS_PER_BYTE * size):
        most = f"more than {max_rows} (--max-rows-per-shard)"
        raise pa.ArrowInvalid(f"the footer says {rows} rows, {most}, and than {size} bytes hold in bits")
    return table


def group_rows(table: pq.ParquetFile) -> list[int]:
    """The number of rows of each row group."""
    return [table.metadata.row_group(group).num_rows for group in range(table.metadata.num_row_groups)]


@dataclass(frozen=True)
class Gap:
    """Consecutive rows that cannot be read: how many, and why."""

    rows: int
    reason: str
    status: str = "damaged-archive"


def row_batches(
    table: Table,
    columns: list[str] | None,
    wanted: RowRange,
    at_once: int = ROWS_PER_BATCH,
    batch_bytes: int | None = None,
) -> Iterator[pa.RecordBatch | Gap]:
    """The rows of a range in order, at most `at_once` together; a gap in place of rows that cannot be read.

    `batch_bytes`: so few together that their cells take no more, or one; None: however much they take. Of a row group
    within which the range begins, pyarrow has to read what comes before: it can skip no page.
    """
    row, stop = wanted.start, wanted.start + wanted.rows
    for number, last in enumerate(itertools.accumulate(group_rows(table))):
        end = min(last, stop)
        if end > row:
            yield from _Group(table, number, columns, last).batches(RowRange(row, end - row), at_once, batch_bytes)
            row = end
    if row < stop:
        yield Gap(stop - row, "the file holds fewer rows than planned")


class _Group(NamedTuple):
    """Columns of a row group, which ends before the file's row number `last`."""

    table: Table
    number: int
    columns: list[str] | None
    last: int

    def batches(self, wanted: RowRange, at_once: int, batch_bytes: int | None) -> Iterator[pa.RecordBatch | Gap]:
        """The wanted rows, or a gap for those that cannot be read."""
        row, end, gap = wanted.start, wanted.start + wanted.rows, Gap(0, "")
        for rows, limit in self._limits(at_once, batch_bytes):
            gap = Gap(0, "it holds fewer rows than the file's footer says")
            self.table.pages.follow(self._chunks(), limit)
            try:
                for batch in self._decoded(RowRange(row, end - row), rows):
                    row += len(batch)
                    yield batch
                break
            except RefusedPage as error:  # a smaller batch may hold it
                gap = Gap(0, first_line(error), "too-large")
            except DAMAGE as error:
                gap = Gap(0, first_line(error))
                break
        if row < end:
            yield Gap(end - row, f"row group {self.number}: {gap.reason}", gap.status)

    def _limits(self, at_once: int, batch_bytes: int | None) -> Iterator[tuple[int, PageLimit]]:
        """How many rows to read at once, and how large a page may be then: as the footer has it, then row by row.

        A cell is no larger than the pages of its column, but many may share the bytes of one.
        """
        if batch_bytes is not None:
            claimed = self.table.metadata.row_group(self.number).total_byte_size
            at_once = min(at_once, max(1, batch_bytes // max(1, claimed)))
            if at_once > 1:
                yield at_once, PageLimit(min(batch_bytes // at_once, self.table.limit.most_bytes), ratio=0)
                at_once = 1
        yield at_once, self.table.limit

    def _chunks(self) -> Iterator[tuple[int, int]]:
        """Where each column begins, and how long it is."""
        group, schema = self.table.metadata.row_group(self.number), self.table.schema
        for number in range(group.num_columns):
            path = f"{schema.column(number).path}."
            if self.columns is None or any(path.startswith(f"{name}.") for name in self.columns):
                chunk = group.column(number)
                first, data = chunk.dictionary_page_offset, chunk.data_page_offset
                yield first if first and first < data else data, chunk.total_compressed_size

    def _decoded(self, wanted: RowRange, at_once: int) -> Iterator[pa.RecordBatch]:
        row, stop = self.last - self.table.metadata.row_group(self.number).num_rows, wanted.start + wanted.rows
        for batch in self.table.iter_batches(at_once, [self.number], self.columns, use_threads=False):
            found = batch.slice(max(0, wanted.start - row), max(0, stop - max(row, wanted.start)))
            row += len(batch)
            if len(found):
                yield found
            if row >= stop:  # a row group may hold many times more
                return
