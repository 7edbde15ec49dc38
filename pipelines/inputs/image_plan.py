"""Plans a scan of images: inputs to shards, with sizes and fingerprints, before any image is opened."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq
from fsspec.core import split_protocol

from pipelines.config.scan import Read
from pipelines.errors import CallerError, ReadError
from pipelines.inputs.listing import File, Kind, expand, kind_of, not_seen, suffix_of
from pipelines.inputs.plan import Plan, Shard, content_hash, shard_id, told_apart
from pipelines.inputs.readers.parquet import DAMAGE, ImageColumns
from pipelines.inputs.readers.range_file import open_range
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
        fresh = not_seen(found, seen)
        for file in fresh:
            if not kind_of(file.url):
                suffix = suffix_of(file.url) or "no suffix"
                passed_over[suffix] = passed_over.get(suffix, 0) + 1
        for kind, files in _sharded(fresh, read.images_per_shard):
            shards.append(_shard(kind, files))
    _check_parquet(shards, read, options)
    return Plan(told_apart(shards), passed_over)


def _sharded(files: Sequence[File], images_per_shard: int) -> Iterator[tuple[Kind, list[File]]]:
    """Every tar and Parquet file by itself, then the images in slices, none over two file systems."""
    images = [file for file in files if kind_of(file.url) == "images"]
    for file in files:
        kind = kind_of(file.url)
        if kind and kind != "images":
            yield kind, [file]
    for _, group in itertools.groupby(images, key=lambda file: split_protocol(file.url)[0]):
        together = list(group)
        for start in range(0, len(together), images_per_shard):
            yield "images", together[start : start + images_per_shard]


def _shard(kind: Kind, files: Sequence[File]) -> Shard:
    """A whole file, or a slice of image files, which is called after their folder."""
    parts = files[0].url.split("/")
    return Shard(
        id=shard_id(parts[-1].rpartition(".")[0] if kind != "images" else parts[-2], files[0].url),
        kind=kind,
        urls=[file.url for file in files],
        keys=[file.key for file in files],
        sizes=[file.size for file in files],
        fingerprint=content_hash([[file.url, file.size, file.version] for file in files]),
    )


def _check_parquet(shards: Sequence[Shard], read: Read, options: Mapping[str, Any]) -> None:
    """Raises CallerError if the first readable Parquet file lacks a column; damaged files are left to the scan."""
    for shard in shards:
        if shard.kind != "parquet":
            continue
        files, path = file_system(shard.urls[0], options)
        try:
            schema = pq.read_schema(open_range(files, path, shard.size))
        except ReadError as error:
            raise CallerError(f"--input {shard.urls[0]!r} cannot be read: {error}") from error
        except DAMAGE:
            continue
        try:
            ImageColumns(read.image_column, read.key_column).find(schema)
        except ValueError as error:
            raise CallerError(
                f"--input {shard.urls[0]!r}: {error}; name them with --image-column and --key-column"
            ) from error
        return
