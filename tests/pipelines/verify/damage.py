"""Ways to damage a file of a scan directory."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Damage = Callable[[Path], Any]
"""Given the path of a file."""


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def garbage(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(500))


def flipped(path: Path) -> None:
    """One bit of the first column's first page flipped."""
    metadata, content = pq.read_metadata(path).row_group(0).column(0), bytearray(path.read_bytes())
    content[metadata.data_page_offset + metadata.total_compressed_size // 2] ^= 1
    path.write_bytes(content)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def of_another_scan(path: Path) -> None:
    table = read(path)
    write(path, table, (table.schema.metadata or {}) | {b"oodscan.fingerprint": b"\xff another"})


def of_shard(name: str) -> Damage:
    """The file of another shard in its place."""
    return lambda path: shutil.copyfile(path.with_name(f"part-{name}.parquet"), path)


def beside(name: str) -> Damage:
    """A copy of the file beside it."""
    return lambda path: shutil.copyfile(path, path.with_name(name))


def read(path: Path) -> pa.Table:
    return pq.read_table(io.BytesIO(path.read_bytes()))


def write(path: Path, table: pa.Table, metadata: dict[bytes, bytes] | None) -> None:
    pq.write_table(table.replace_schema_metadata(metadata), path)


def rewritten(change: Callable[[pa.Table], pa.Table]) -> Damage:
    """A table changed, its metadata kept but for the number of records."""

    def apply(path: Path) -> None:
        table = read(path)
        changed, metadata = change(table), dict(table.schema.metadata or {})
        if b"oodscan.records" in metadata and "embeddings/" not in str(path):
            metadata[b"oodscan.records"] = str(len(changed)).encode()
        write(path, changed, metadata)

    return apply


def told(**metadata: str | bytes) -> Damage:
    """Metadata of ours changed: the name's part behind `oodscan.`, and its value."""

    def apply(path: Path) -> None:
        table = read(path)
        changed = {f"oodscan.{name}".encode(): value for name, value in metadata.items()}
        write(path, table, dict(table.schema.metadata or {}) | changed)  # pyright: ignore[reportArgumentType]

    return apply


def column(name: str, values: Callable[[list[Any]], Any], kind: pa.DataType | None = None) -> Damage:
    """A column of other values, of its own type or another."""

    def apply(table: pa.Table) -> pa.Table:
        made = values(table[name].to_pylist())
        made = made if isinstance(made, pa.Array) else pa.array(made, kind or table.schema.field(name).type)
        return table.set_column(table.column_names.index(name), name, made)

    return rewritten(apply)


def cell(name: str, row: int, value: Any) -> Damage:
    """One cell of another value, of the same type."""
    return column(name, lambda values: [*values[:row], value, *values[row + 1 :]])


def nth(row: int, change: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
    """The values of a column with one of them changed."""
    return lambda values: [*values[:row], change(values[row]), *values[row + 1 :]]


def taken(*rows: int) -> Damage:
    """Other rows of the table, or in another order."""
    return rewritten(lambda table: table.take(pa.array(rows, pa.int64())))


def without(name: str) -> Damage:
    return rewritten(lambda table: table.drop_columns(name))


def twice(name: str) -> Damage:
    return rewritten(lambda table: table.append_column(name, table[name]))


TYPES: dict[str, Callable[[list[Any]], pa.Array]] = {
    "string": lambda values: pa.array(["x"] * len(values)),
    "list<item: double>": lambda values: pa.array([[1.0]] * len(values)),
    "struct<a: int64>": lambda values: pa.array([{"a": 1}] * len(values)),
    "dictionary<values=string, indices=int32, ordered=0>": lambda values: pa.array(
        ["x"] * len(values)
    ).dictionary_encode(),
    "bool": lambda values: pa.array([True] * len(values)),
    "null": lambda values: pa.nulls(len(values)),
    "int16": lambda values: pa.array([1] * len(values), pa.int16()),
    "decimal128(3, 1)": lambda values: pa.array([None] * len(values), pa.decimal128(3, 1)),
    "binary": lambda values: pa.array([b"x"] * len(values)),
    "timestamp[us]": lambda values: pa.array([0] * len(values), pa.timestamp("us")),
}
"""Columns of each type that no column of a scan directory has."""
