"""Reads the records of a shard of images, whatever kind of file it is."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from pipelines.config.scan import Read
from pipelines.inputs.plan import Shard
from pipelines.inputs.readers.images import ImageFile, read_images
from pipelines.inputs.readers.parquet import ImageColumns, read_parquet
from pipelines.inputs.readers.range_file import RangeFile, fetch, open_range
from pipelines.inputs.readers.record import Record
from pipelines.inputs.readers.tar import read_tar
from pipelines.storage import file_system


def records(
    shard: Shard, read: Read, options: Mapping[str, Any], passed_over: Counter[str] | None = None
) -> Iterator[Record]:
    """A shard's records in order; `passed_over` counts the members of a tar that are none, by kind.

    Raises ReadError if the storage fails for good.
    """
    files, path = file_system(shard.urls[0], options)
    if shard.kind == "images":
        chosen = [
            ImageFile(url, file_system(url, options)[1], key, size)
            for url, key, size in zip(shard.urls, shard.keys, shard.sizes, strict=True)
        ]
        yield from read_images(files, chosen, read.max_image_bytes)
    elif shard.kind == "tar":
        file = open_range(files, path, shard.size)
        again = partial(fetch, files, path)
        yield from read_tar(file, shard.size, read.max_image_bytes, shard.urls[0], again, passed_over)
    else:
        columns = ImageColumns(read.image_column, read.key_column)
        file = RangeFile(files, path, shard.size)
        yield from read_parquet(file, columns, read.max_image_bytes, shard.start, shard.rows, shard.urls[0])
