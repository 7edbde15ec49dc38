"""Which files an export of shards writes: one for every tar and table of the input, and for every slice of images."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
from fsspec import AbstractFileSystem

from pipelines.errors import CallerError
from pipelines.inputs.plan import NOT_PLAIN, SCHEMA, Shard, blocks_of, shards_of
from pipelines.inputs.readers.range_file import describe
from pipelines.storage import Directory, absolute, file_system

SHARDS, RECEIPTS = "shards", "receipts"
"""The folders of an export that hold the files, and what is known of each."""

NAME = "output_file"
"""A column beside those of a plan."""


@dataclass(frozen=True)
class OutputFile:
    """A file to be written, by its name in the folder, and the shards that it is made of: those of one input file."""

    name: str
    shards: tuple[Shard, ...]


def output_files(shards: Sequence[Shard]) -> list[OutputFile]:
    """The files in the order of the plan, each called as its input file is.

    Where two would have one name, or a name is not plain, and of images that are files of their own, by the shard's id.
    """
    groups: dict[str, list[Shard]] = {}
    for shard in shards:
        groups.setdefault(shard.urls[0] if shard.kind == "parquet" else shard.id, []).append(shard)
    names = [_name(group[0]) for group in groups.values()]
    times = Counter(names)
    by_id = [_by_id(group[0]) for group in groups.values()]
    chosen = [name if name and times[name] == 1 else other for name, other in zip(names, by_id, strict=True)]
    chosen = chosen if len(set(chosen)) == len(chosen) else by_id
    return [OutputFile(name, tuple(group)) for name, group in zip(chosen, groups.values(), strict=True)]


def _name(shard: Shard) -> str:
    """The name of a shard's input file; "" if it has none that is plain."""
    name = shard.urls[0].rpartition("/")[2]
    return "" if shard.kind == "images" or NOT_PLAIN.search(name) or name.startswith(".") else name


def _by_id(shard: Shard) -> str:
    return f"{NOT_PLAIN.sub('_', shard.id)}.{'parquet' if shard.kind == 'parquet' else 'tar'}"


def check_apart(output: Directory, shards: Iterable[Shard]) -> None:
    """Raises CallerError if files would be written to a folder that input files lie in."""
    folders = {url.rpartition("/")[0] for shard in shards for url in shard.urls}
    written = {_real(output.url), _real(output.folder(SHARDS).url)}
    for folder in folders:
        if _real(folder) in written:
            raise CallerError(f"--output {output.url!r} and the input are in one folder, {folder}; give another")


def placed(output: Directory, name: str) -> tuple[AbstractFileSystem, str, int]:
    """Where an output file lies, and its bytes. Raises ReadError if there is none."""
    files, path = file_system(f"{output.folder(SHARDS).url}/{name}", output.options)
    return files, path, int(describe(files, path)["size"])


def _real(url: str) -> str:
    """A local folder with its links followed; any other URL as it is."""
    place = absolute(url).rstrip("/")
    return os.path.realpath(place) if place.startswith("/") else place


def block_of(files: Sequence[OutputFile]) -> pa.Table:
    """Output files as a table, for a worker."""
    shards = [shard for file in files for shard in file.shards]
    names = [file.name for file in files for _ in file.shards]
    return blocks_of([shards])[0].append_column(NAME, pa.array(names, pa.string()))


def files_of(block: pa.Table) -> list[OutputFile]:
    """The output files in a table that `block_of` made."""
    groups: dict[str, list[Shard]] = {}
    for name, shard in zip(block[NAME].to_pylist(), shards_of(block.select(SCHEMA.names)), strict=True):
        groups.setdefault(name, []).append(shard)
    return [OutputFile(name, tuple(group)) for name, group in groups.items()]
