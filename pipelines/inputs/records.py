"""Reads the records of a shard of images, whatever kind of file it is, and whatever is wrong with it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from pipelines.config.scan import Read
from pipelines.errors import first_line
from pipelines.inputs.plan import Shard
from pipelines.inputs.readers.images import ImageFile, read_images
from pipelines.inputs.readers.parquet import ImageColumns, read_parquet
from pipelines.inputs.readers.range_file import RangeFile, fetch, open_range
from pipelines.inputs.readers.record import UNREAD, Record
from pipelines.inputs.readers.row_groups import RowRange
from pipelines.inputs.readers.tar import read_tar
from pipelines.inputs.unchanged import while_unchanged
from pipelines.storage import file_system


def records(
    shard: Shard, read: Read, options: Mapping[str, Any], passed_over: Counter[str] | None = None
) -> Iterator[Record]:
    """A shard's records in order; `passed_over` counts the members of a tar that are none, by kind.

    Whatever goes wrong with the shard's file, the records that are not read then say so: see `error_rows`. A file that
    is replaced while it is read is found out at its end: what was read before may be of both, and one says so.
    """
    count = 0
    try:
        for record in _records(shard, read, options, passed_over):
            yield record
            count += 1
    except Exception as error:  # every library that reads has errors of its own
        yield from error_rows(shard, UNREAD, first_line(error), count)


def error_rows(shard: Shard, status: str, error: str, start: int = 0) -> Sequence[Record]:
    """Records that say why nothing is known of a shard from number `start` on: one for each that is planned, else one
    for all."""
    url = "" if shard.keys else shard.urls[0]
    keys = shard.keys or [str(shard.start + row) for row in range(shard.rows or 0)]
    if not keys:
        return [Record("", status=status, error=error, url=url)]
    return [Record(key, status=status, error=error, url=url) for key in keys[start:]]


def _records(
    shard: Shard, read: Read, options: Mapping[str, Any], passed_over: Counter[str] | None
) -> Iterator[Record]:
    files, path = file_system(shard.urls[0], options)
    if shard.kind == "images":
        chosen = [
            ImageFile(url, file_system(url, options)[1], key, size, version)
            for key, (url, size, version) in zip(shard.keys, shard.files, strict=True)
        ]
        yield from read_images(files, chosen, read.max_image_bytes, read.retry_s)
    elif shard.kind == "tar":
        file = open_range(files, path, shard.size, retry_s=read.retry_s)
        again = partial(fetch, files, path, retry_s=read.retry_s)
        found = read_tar(file, shard.size, read.max_image_bytes, shard.urls[0], again, passed_over)
        yield from while_unchanged(found, shard, options, read.retry_s)
    else:
        columns = ImageColumns(read.image_column, read.key_column)
        file = RangeFile(files, path, shard.size, retry_s=read.retry_s)
        rows = None if shard.rows is None else RowRange(shard.start, shard.rows)
        found = read_parquet(file, columns, read.max_image_bytes, rows, shard.urls[0], read.max_rows_per_shard)
        yield from while_unchanged(found, shard, options, read.retry_s)
