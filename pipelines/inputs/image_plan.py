"""Plans a scan of images: inputs to shards, with sizes and fingerprints, before any image is opened."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fsspec.core import split_protocol

from pipelines.config.scan import Read
from pipelines.errors import CallerError, ReadError
from pipelines.inputs.listing import File, Kind, concurrently, expand, kind_of, not_seen, suffix_of
from pipelines.inputs.plan import Plan, Shard, files_fingerprint, shard_id, told_apart
from pipelines.inputs.readers.parquet import ImageColumns
from pipelines.inputs.readers.range_file import RangeFile
from pipelines.inputs.readers.row_groups import DAMAGE, RowRange, group_rows, open_table, row_ranges
from pipelines.storage import file_system


def plan_images(inputs: Sequence[str], read: Read, options: Mapping[str, Any]) -> Plan:
    """The shards of all inputs. Raises CallerError for an input that is missing, empty or of no known kind."""
    shards: list[Shard] = []
    passed_over: dict[str, int] = {}
    seen: set[str] = set()
    for given in inputs:
        found = expand(given, options)
        if not any(kind_of(file.url) for file in found):
            raise CallerError(f"--input {given!r} holds no tar, Parquet or image file")
        archives: list[File] = []
        images: list[File] = []
        for file in not_seen(found, seen):
            kind = kind_of(file.url)
            if kind is None:
                suffix = suffix_of(file.url) or "no suffix"
                passed_over[suffix] = passed_over.get(suffix, 0) + 1
            else:
                (images if kind == "images" else archives).append(file)
        shards.extend(_archives(archives, read, options))
        shards.extend(_slices(images, read.images_per_shard))
    _check_columns(shards, read, options)
    return Plan(told_apart(shards), passed_over)


def _archives(files: Sequence[File], read: Read, options: Mapping[str, Any]) -> Iterator[Shard]:
    """A shard for every tar, and for every range of the rows of a table.

    A table whose footer is damaged is one shard, which will say so.
    """
    tables = (file for file in files if kind_of(file.url) == "parquet")
    groups = concurrently(lambda file: _group_rows(file, options), tables)
    for file in files:
        kind = kind_of(file.url)
        if kind == "tar":
            yield _shard(kind, [file])
        elif kind == "parquet" and (counts := next(groups)) is not None:
            ranges = list(row_ranges(counts, read.images_per_shard)) or [RowRange(0, 0)]
            yield from (_shard(kind, [file], found, cut=len(ranges) > 1) for found in ranges)
        elif kind == "parquet":
            yield _shard(kind, [file])


def _group_rows(file: File, options: Mapping[str, Any]) -> list[int] | None:
    """The rows of each row group; None if the footer is damaged. Raises CallerError for a file that cannot be read."""
    files, path = file_system(file.url, options)
    try:
        return group_rows(open_table(RangeFile(files, path, file.size)))
    except ReadError as error:
        raise CallerError(f"--input {file.url!r} cannot be read: {error}") from error
    except DAMAGE:
        return None


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
    )


def _check_columns(shards: Sequence[Shard], read: Read, options: Mapping[str, Any]) -> None:
    """Raises CallerError if the first readable table lacks a column; damaged ones are left to the scan."""
    first = next((shard for shard in shards if shard.kind == "parquet" and shard.rows is not None), None)
    if first is None:
        return
    files, path = file_system(first.urls[0], options)
    try:
        schema = open_table(RangeFile(files, path, first.size)).schema_arrow
        ImageColumns(read.image_column, read.key_column).find(schema)
    except ReadError as error:
        raise CallerError(f"--input {first.urls[0]!r} cannot be read: {error}") from error
    except ValueError as error:
        raise CallerError(
            f"--input {first.urls[0]!r}: {error}; name them with --image-column and --key-column"
        ) from error
