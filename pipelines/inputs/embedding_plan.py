"""Plans a rescoring: tables of embeddings to shards; finds what is wrong with a whole table before any work."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.config.rescore import ReadEmbeddings
from pipelines.errors import CallerError, ReadError, first_line
from pipelines.inputs.listing import Accepted, File, Kind, concurrently, expand, not_seen
from pipelines.inputs.plan import Plan, Shard, files_fingerprint, shard_id, told_apart
from pipelines.inputs.readers import npy
from pipelines.inputs.readers.embeddings import (
    UNIT_TOLERANCE,
    EmbeddingColumns,
    EmbeddingRows,
    list_type,
    read_embedding_table,
    validated,
)
from pipelines.inputs.readers.names import passed_over_as, suffix_of
from pipelines.inputs.readers.range_file import RangeFile, open_range
from pipelines.inputs.readers.row_groups import DAMAGE, RowRange, group_rows, open_table, row_ranges
from pipelines.inputs.unchanged import while_unchanged
from pipelines.storage import file_system


def embedding_kind(url: str) -> Kind | None:
    """The kind of a file of embeddings by its name; None for what is passed over."""
    return {".parquet": "embeddings", ".npy": "npy"}.get(suffix_of(url))  # pyright: ignore[reportReturnType]


EMBEDDED: tuple[Kind, ...] = ("embeddings", "npy")
"""The kinds of shards that hold embeddings."""
EMBEDDINGS = Accepted("--embeddings", ".parquet, .npy or .txt (a list) file", embedding_kind, scans=True)


@dataclass(frozen=True)
class EmbeddingTable:
    """A file of embeddings and the rows of its row groups. `keys`: the file of its rows' keys, for a `.npy` file."""

    file: File
    kind: Kind
    groups: Sequence[int]
    keys: File | None = None


def plan_embeddings(
    inputs: Sequence[str],
    read: ReadEmbeddings,
    dim: int,
    options: Mapping[str, Any],
    accepted: Accepted = EMBEDDINGS,
) -> Plan:
    """The shards of all tables. Raises CallerError for an input that is missing, empty or of other embeddings.

    `accepted`: how messages name the option.
    """
    shards: list[Shard] = []
    passed_over: Counter[str] = Counter()
    seen: set[str] = set()
    for given in inputs:
        chosen, others = _chosen(expand(given, options, accepted))
        if not chosen:
            raise CallerError(f"{accepted.option} {given!r} holds no table of embeddings (.parquet or .npy)")
        fresh = not_seen(chosen, seen)
        passed_over.update(file.passed_over or passed_over_as(file.url) for file in others)
        for table in concurrently(lambda file: _embedding_table(file, read, dim, options, accepted), fresh):
            shards.extend(_sliced(table, read.rows_per_shard))
    _check_lengths(shards, read, dim, options, accepted)
    return Plan(told_apart(shards), passed_over)


def _chosen(files: list[File]) -> tuple[list[File], list[File]]:
    """The tables of embeddings, and what is passed over. Of clip-retrieval's folders only the images' embeddings."""
    tables = [file for file in files if not file.passed_over]
    chosen = [file for file in tables if npy.keys_url(file.url)] or tables
    names = {file.url for file in chosen}
    return chosen, [file for file in files if file.url not in names]


def _embedding_table(
    file: File, read: ReadEmbeddings, dim: int, options: Mapping[str, Any], accepted: Accepted
) -> EmbeddingTable:
    """Opens a file of embeddings. Raises CallerError if its columns, or its embeddings' dimension, do not fit.

    A damaged Parquet file counts as one row, which will say so.
    """
    try:
        if embedding_kind(file.url) == "npy":
            return _npy_table(file, read, dim, options)
        files, path = file_system(file.url, options)
        try:
            opened = open_table(RangeFile(files, path, file.size, retry_s=read.retry_s))
        except DAMAGE:
            return EmbeddingTable(file, "embeddings", [1])
        _, embedding = EmbeddingColumns(read.key_column, read.embedding_column).find(opened.schema_arrow)
        found = list_type(opened.schema_arrow.field(embedding).type)
        if found not in (-1, dim):
            raise ValueError(f"its embeddings have dimension {found}, those of the label bank {dim}")
        return EmbeddingTable(file, "embeddings", group_rows(opened))
    except (ValueError, ReadError, *DAMAGE) as error:
        raise CallerError(f"{accepted.option} {file.url!r}: {first_line(error)}") from error


def _npy_table(file: File, read: ReadEmbeddings, dim: int, options: Mapping[str, Any]) -> EmbeddingTable:
    """Opens a `.npy` file and the table of its keys. Raises ValueError if they do not fit together."""
    files, path = file_system(file.url, options)
    layout = npy.Layout.of(open_range(files, path, file.size, retry_s=read.retry_s), file.size)
    if layout.dim != dim:
        raise ValueError(f"its embeddings have dimension {layout.dim}, those of the label bank {dim}")
    url = npy.keys_url(file.url)
    if url is None:
        raise ValueError("a .npy file must be named img_emb/img_emb_N.npy, beside metadata/metadata_N.parquet")
    try:
        keys = expand(url, options, EMBEDDINGS)[0]
    except CallerError as error:
        raise ValueError(f"there is no {url!r} with the keys of its rows") from error
    files, path = file_system(url, options)
    table = open_table(RangeFile(files, path, keys.size, retry_s=read.retry_s))
    EmbeddingColumns(read.key_column).find_key(table.schema_arrow)
    if table.metadata.num_rows != layout.rows:
        raise ValueError(f"it has {layout.rows} rows, and {url!r} has {table.metadata.num_rows}")
    return EmbeddingTable(file, "npy", [layout.rows], keys)


def _sliced(table: EmbeddingTable, rows_per_shard: int) -> Iterator[Shard]:
    """A table cut into shards of at most `rows_per_shard` rows, where row groups end if it can be."""
    files = [table.file, *([table.keys] if table.keys else [])]
    name = table.file.url.rsplit("/", 1)[-1].rpartition(".")[0]
    ranges = list(row_ranges(table.groups, rows_per_shard)) or [RowRange(0, 0)]
    for start, rows in ranges:
        yield Shard(
            id=shard_id(name, table.file.url, start if len(ranges) > 1 else None),
            kind=table.kind,
            urls=tuple(file.url for file in files),
            keys=(),
            sizes=tuple(file.size for file in files),
            fingerprint=files_fingerprint(files, start, rows),
            start=start,
            rows=rows,
            versions=tuple(file.version for file in files),
        )


def read_rows(shard: Shard, read: ReadEmbeddings, dim: int, options: Mapping[str, Any]) -> Iterator[EmbeddingRows]:
    """A shard's rows in order, some thousands at once, validated.

    Raises ReadError if the storage fails for good or a file has changed since it was planned (see `while_unchanged`),
    and what libraries raise on files that they cannot read.
    """
    for part in while_unchanged(_rows(shard, read, dim, options), shard, options, read.retry_s):
        yield validated(part, read.normalize)


def _rows(shard: Shard, read: ReadEmbeddings, dim: int, options: Mapping[str, Any]) -> Iterator[EmbeddingRows]:
    """The rows as they are."""
    columns, rows = EmbeddingColumns(read.key_column, read.embedding_column), shard.rows or 0
    files, path = file_system(shard.urls[0], options)
    file = RangeFile(files, path, shard.sizes[0], retry_s=read.retry_s)
    if shard.kind != "npy":
        yield from read_embedding_table(file, columns, dim, shard.start, rows)
        return
    key_files, key_path = file_system(shard.urls[1], options)
    key_file = RangeFile(key_files, key_path, shard.sizes[1], retry_s=read.retry_s)
    layout = npy.Layout.of(open_range(files, path, shard.sizes[0], retry_s=read.retry_s), shard.sizes[0])
    vectors = npy.read_vectors(files, path, layout, shard.start, rows, read.retry_s)
    yield from npy.read_npy(vectors, npy.read_keys(key_file, columns, shard.start, rows))


def further_columns(shards: Sequence[Shard], read: ReadEmbeddings, options: Mapping[str, Any]) -> list[pa.Field]:
    """The columns beside key and embedding of the first table that can be opened; none of `.npy` files."""
    for shard in shards:
        files, path = file_system(shard.urls[0], options)
        if shard.kind == "embeddings":
            with contextlib.suppress(ReadError, *DAMAGE):
                schema = open_table(RangeFile(files, path, shard.sizes[0])).schema_arrow
                used = EmbeddingColumns(read.key_column, read.embedding_column).find(schema)
                return [field for field in schema if field.name not in used]
    return []


def _check_lengths(
    shards: Sequence[Shard], read: ReadEmbeddings, dim: int, options: Mapping[str, Any], accepted: Accepted
) -> None:
    """Raises CallerError if most of the first rows are not of unit length: nobody has normalised them.

    A single bad row is left to the rescoring.
    """
    first = next((shard for shard in shards if shard.rows), None)
    if read.normalize or first is None:
        return
    try:
        rows = next(read_rows(first, read, dim, options))
    except (ReadError, ValueError, *DAMAGE) as error:
        raise CallerError(f"{accepted.option} {first.urls[0]!r} cannot be read: {first_line(error)}") from error
    off = [error for status, error in zip(rows.statuses, rows.errors, strict=True) if status == "not-unit-norm"]
    if len(off) > len(rows) / 2:
        raise CallerError(
            f"{accepted.option} {first.urls[0]!r}: most embeddings are not of unit length (of the first, {off[0]}; "
            f"1 ± {UNIT_TOLERANCE:g} is wanted); give --normalize"
        )
