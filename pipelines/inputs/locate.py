"""Reads one record's bytes again, where a scan has found them."""

from collections.abc import Mapping
from typing import Any

from pipelines.config.scan import Read
from pipelines.errors import ReadError, first_line
from pipelines.inputs.listing import kind_of
from pipelines.inputs.plan import Shard
from pipelines.inputs.readers.images import ImageFile, read_images
from pipelines.inputs.readers.parquet import ImageColumns, read_parquet
from pipelines.inputs.readers.range_file import RangeFile, fetch
from pipelines.inputs.readers.row_groups import RowRange
from pipelines.inputs.readers.versions import check_unchanged
from pipelines.storage import file_system


def read_planned(shard: Shard, place: Mapping[str, Any], read: Read, options: Mapping[str, Any]) -> bytes:
    """The bytes of an image at its locator. Raises ReadError if they cannot be read, or its file is not the planned
    one, in whose place another picture may lie."""
    for url, size, version in shard.files:
        if url == place["url"]:
            check_unchanged(*file_system(url, options), size, version, read.retry_s)
    return read_again(**place, read=read, options=options)


def read_again(
    url: str, offset: int | None, length: int | None, row: int | None, read: Read, options: Mapping[str, Any]
) -> bytes:
    """The bytes of an image at the place that its `Record` tells: in a tar, in a row of a table, or a whole file.

    Of a tar no other byte is fetched; of a table, pages of the row group that hold the row or come before it. Raises
    ReadError if the bytes cannot be read, are no image's, or are more than `max_image_bytes`.
    """
    files, path = file_system(url, options)
    if offset is not None and length is not None:
        if offset < 0 or not 0 <= length <= read.max_image_bytes:
            raise ReadError(f"{url}: {length} bytes at {offset} are not read, {read.max_image_bytes} are the most")
        return fetch(files, path, offset, length, retry_s=read.retry_s) if length else b""
    if row is not None and row < 0:
        raise ReadError(f"{url}: there is no row {row}")
    try:
        size = int(files.info(path)["size"])
    except Exception as error:  # every file system has errors of its own
        raise ReadError(f"{url} cannot be read: {first_line(error)}") from error
    if row is not None:
        columns = ImageColumns(read.image_column, read.key_column)
        file = RangeFile(files, path, size, retry_s=read.retry_s)
        found = read_parquet(file, columns, read.max_image_bytes, RowRange(row, 1), url, read.max_rows_per_shard)
    elif kind_of(url) == "images":
        found = read_images(files, [ImageFile(url, path, url, size)], read.max_image_bytes, read.retry_s)
    else:
        raise ReadError(f"{url} holds many images, and it is not said where in it this one is")
    record = next(found)
    if record.status != "ok":
        raise ReadError(f"{url}{'' if row is None else f', row {row}'}: {record.status}: {record.error}")
    return record.content
