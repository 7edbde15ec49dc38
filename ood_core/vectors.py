"""Vectors as Arrow columns and in Parquet files. Free of torch."""

import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Num


def vector_column(vectors: Num[np.ndarray, "rows dim"], mask: np.ndarray | None = None) -> pa.FixedSizeListArray:
    """An Arrow column of one fixed-size list a row; null where `mask` is true."""
    values = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(values, vectors.shape[1], mask=None if mask is None else pa.array(mask))


def vectors_of(column: pa.ChunkedArray | pa.Array, dim: int | None = None) -> Num[np.ndarray, "valid dim"]:
    """The lists of a column as an array of numbers, null lists left out; read-only, it may share the column's memory.

    `dim` is needed where the column's type does not tell the lists' length.
    """
    lists: Any = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    width = lists.type.list_size if pa.types.is_fixed_size_list(lists.type) else dim
    return lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)


def parquet_table(source: Any, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of a Parquet file, or some of its columns; pages are checked where the file has checksums.

    By the calling thread alone: `pq.read_table` leaves it to threads of Arrow's to let go of the file, for which they
    need Python, and which abort the process if the interpreter is ending by then. Raises ArrowException or OSError for
    a damaged file, or one without such a column.
    """
    file = pq.ParquetFile(source, page_checksum_verification=True)
    if columns is None:
        return file.read(use_threads=False)
    if missing := [name for name in columns if name not in file.schema_arrow.names]:
        raise pa.ArrowInvalid(f"it has no column {missing[0]}")
    return file.read(list(columns), use_threads=False).select(list(columns))


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as a Parquet file: zstd, every page with a checksum, vectors of floats without a dictionary."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **parquet_options(table.schema))
    return buffer.getvalue()


def parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """What `pq.write_table` and `pq.ParquetWriter` are told of a table, see `parquet_bytes`.

    The numbers of a vector hardly ever repeat: a dictionary of them takes four times as long to write, and more room.
    """
    leaves = [leaf for column in schema for leaf in _leaves(column.name, column.type)]
    plain = [path for path, is_vector in leaves if is_vector]
    dictionary = [path for path, is_vector in leaves if not is_vector] if plain else True
    return {"compression": "zstd", "write_page_checksum": True, "use_dictionary": dictionary}


def _leaves(path: str, kind: pa.DataType, in_list: bool = False) -> Iterator[tuple[str, bool]]:
    """Parquet's paths of the columns that a type is stored as, each with whether it holds vectors of floats."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type, in_list=True)
    elif pa.types.is_map(kind):
        yield from _leaves(f"{path}.key_value.key", kind.key_type)
        yield from _leaves(f"{path}.key_value.value", kind.item_type)
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{path}.{field.name}", field.type)
    else:
        yield path, in_list and pa.types.is_floating(kind)
