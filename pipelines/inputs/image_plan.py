"""Plans a scan of images: inputs to shards, with sizes and fingerprints, before any image is opened."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fsspec.core import split_protocol

from pipelines.config.scan import Read
from pipelines.errors import CallerError, ReadError
from pipelines.inputs.listing import IMAGES, File, Kind, concurrently, expand, kind_of, not_seen
from pipelines.inputs.plan import Plan, Shard, files_fingerprint, passed_over_line, shard_id, told_apart
from pipelines.inputs.readers.parquet import ImageColumns
from pipelines.inputs.readers.range_file import RangeFile
from pipelines.inputs.readers.row_groups import DAMAGE, RowRange, group_rows, open_table, row_ranges
from pipelines.storage import file_system

WITHOUT_IMAGES = ".parquet without a column of images"


def plan_images(inputs: Sequence[str], read: Read, options: Mapping[str, Any], option: str = "--input") -> Plan:
    """The shards of all inputs. `option`: how messages name them.

    Raises CallerError for one that is missing, empty or of no known kind.
    Tables without a column of images, which many tools write beside tars and image files, are passed over; if they are
    all that there is, or a column was named that none has, that is an error.
    """
    shards: list[Shard] = []
    passed_over: Counter[str] = Counter()
    without_images: list[str] = []
    seen: set[str] = set()
    for given in inputs:
        found = expand(given, options, replace(IMAGES, option=option))
        fresh = not_seen(found, seen)
        passed_over.update(file.passed_over for file in fresh if file.passed_over)
        if all(file.passed_over for file in found):
            others = f", but {passed_over_line(passed_over)}" if passed_over else ""
            raise CallerError(f"{option} {given!r} holds no tar, Parquet or image file{others}")
        chosen = [file for file in fresh if not file.passed_over]
        images = [file for file in chosen if kind_of(file.url) == "images"]
        archives = [file for file in chosen if kind_of(file.url) != "images"]
        shards.extend(_archives(archives, read, options, without_images))
        shards.extend(_slices(images, read.images_per_shard))
    named = read.image_column is not None or read.key_column is not None
    if without_images and (not shards or (named and all(shard.kind != "parquet" for shard in shards))):
        raise CallerError(f"{option} {without_images[0]}; name them with --image-column and --key-column")
    if without_images:
        passed_over[WITHOUT_IMAGES] += len(without_images)
    return Plan(told_apart(shards), passed_over)


def _archives(
    files: Sequence[File], read: Read, options: Mapping[str, Any], without_images: list[str]
) -> Iterator[Shard]:
    """A shard for every tar, and for every range of the rows of a table.

    A table whose footer is damaged is one shard, which will say so. `without_images` gains what is wrong with tables
    that have no column of images.
    """
    tables = (file for file in files if kind_of(file.url) == "parquet")
    groups = concurrently(lambda file: _group_rows(file, read, options), tables)
    for file in files:
        if kind_of(file.url) == "tar":
            yield _shard("tar", [file])
            continue
        counts = next(groups)
        if isinstance(counts, str):
            without_images.append(counts)
        elif counts is None:
            yield _shard("parquet", [file])
        else:
            ranges = list(row_ranges(counts, read.images_per_shard)) or [RowRange(0, 0)]
            yield from (_shard("parquet", [file], found, cut=len(ranges) > 1) for found in ranges)


def _group_rows(file: File, read: Read, options: Mapping[str, Any]) -> list[int] | str | None:
    """The rows of each row group; what is wrong if no column holds images; None for a file that cannot be read."""
    files, path = file_system(file.url, options)
    try:
        file_range = RangeFile(files, path, file.size, retry_s=read.retry_s)
        table = open_table(file_range, read.max_image_bytes, read.max_rows_per_shard)
    except (ReadError, *DAMAGE):
        return None
    try:
        ImageColumns(read.image_column, read.key_column).find(table.schema_arrow)
    except ValueError as error:
        return f"{file.url!r}: {error}"
    except LookupError:
        pass  # its rows will say so
    return group_rows(table)


def _slices(files: Sequence[File], images_per_shard: int) -> Iterator[Shard]:
    """The image files in slices, none over two file systems."""
    for _, group in itertools.groupby(files, key=lambda file: split_protocol(file.url)[0]):
        while together := list(itertools.islice(group, images_per_shard)):
            yield _shard("images", together)


def _shard(kind: Kind, files: Sequence[File], rows: RowRange | None = None, cut: bool = False) -> Shard:
    """A tar, a range of a table's rows, or a slice of image files, which is called after their folder.

    `cut`: the table has other ranges too.
    """
    parts = files[0].url.split("/")
    name = parts[-2] if kind == "images" else parts[-1].rpartition(".")[0]
    return Shard(
        id=shard_id(name, files[0].url, rows.start if rows and cut else None),
        kind=kind,
        urls=tuple([file.url for file in files]),
        keys=tuple([file.key for file in files]) if kind == "images" else (),
        sizes=tuple([file.size for file in files]),
        fingerprint=files_fingerprint(files, *(rows or ())),
        start=rows.start if rows else 0,
        rows=rows.rows if rows else None,
        versions=tuple([file.version for file in files]),
    )
