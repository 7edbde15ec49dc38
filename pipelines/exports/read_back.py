"""Reads what was written again, with the reader of scans, and compares it with the score tables."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import BinaryIO

from pipelines.config.scan import Read
from pipelines.inputs.readers.parquet import ImageColumns, read_parquet
from pipelines.inputs.readers.range_file import RangeFile
from pipelines.inputs.readers.record import OF_ARCHIVES, Record
from pipelines.inputs.readers.tar import read_tar


class MismatchError(Exception):
    """A file's records are not those that a score table tells of; the message says which."""


def check_tar(file: BinaryIO, size: int, keys: Sequence[str], lengths: Sequence[int | None]) -> None:
    """Raises MismatchError if a tar does not hold these images, in order. `lengths`: of each in bytes; None: any."""
    places = zip_longest(_whole(read_tar(file, size, max_bytes=-1)), keys, lengths)
    for place, (record, key, length) in enumerate(places):
        _check(place, record, None if key is None else (key,))
        if length is not None and record and record.length != length:
            raise MismatchError(f"image {place}, {key!r}, takes {record.length} bytes, and took {length}")


def check_table(file: RangeFile, read: Read, keys: Sequence[str], rows: Sequence[int]) -> None:
    """Raises MismatchError if a Parquet file does not hold the images of these keys, in order.

    `rows`: the number of the row that each had before: where it was the key, the new number is.
    """
    columns = ImageColumns(read.image_column, read.key_column)
    found = _whole(read_parquet(file, columns, read.max_image_bytes, max_rows=read.max_rows_per_shard))
    for place, (record, key, row) in enumerate(zip_longest(found, keys, rows)):
        _check(place, record, None if key is None else (key, str(place)) if key == str(row) else (key,))


def _whole(records: Iterator[Record]) -> Iterator[Record]:
    """The records. Raises MismatchError for one that stands for damage."""
    for record in records:
        if record.status in OF_ARCHIVES:
            raise MismatchError(f"{record.status}: {record.error}")
        yield record


def _check(place: int, record: Record | None, allowed: Sequence[str] | None) -> None:
    if record is None or allowed is None:
        there = "nothing" if record is None else repr(record.key)
        wanted = "nothing" if allowed is None else repr(allowed[0])
        raise MismatchError(f"image {place} is {there}, and should be {wanted}")
    if record.key not in allowed:
        raise MismatchError(f"image {place} is {record.key!r}, and should be {allowed[0]!r}")
