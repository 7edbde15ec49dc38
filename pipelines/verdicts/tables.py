"""Tables of verdicts: their columns, and the check of tables that anybody may have written. Free of torch."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from ood_core.vectors import vector_column, vectors_of
from pipelines.errors import CallerError, first_line

COLUMNS: Mapping[str, pa.DataType] = {
    "key": pa.string(),
    "shard": pa.string(),
    "index": pa.int64(),
    "belongs": pa.float64(),
    "by": pa.string(),
    "at": pa.timestamp("us", "UTC"),
    "description": pa.string(),
}
"""The columns of a table of verdicts beside `embedding`, which is in half precision. `belongs`: how probably the image
belongs, 0 to 1; `by`: who has said so; `description`: what it shows, where a model was asked for that."""

UNIT_TOLERANCE = 1e-2


def schema(dim: int) -> pa.Schema:
    """The columns of a table of verdicts."""
    return pa.schema({**COLUMNS, "embedding": pa.list_(pa.float16(), dim)})


def checked(table: pa.Table, dim: int, called: str) -> pa.Table:
    """A table's columns of verdicts, checked; those that it may lack are null. Its metadata stay.

    Raises CallerError, in which the table is `called` so, for one of no verdicts, or of embeddings of another length.
    """
    missing = {"belongs", "embedding"} - set(table.column_names)
    if missing:
        raise CallerError(f"{called} is no table of verdicts with embeddings: it has no column {min(missing)}")
    try:
        vectors = _vectors(table["embedding"], dim, called)
        columns = {
            name: table[name].cast(kind) if name in table.column_names else pa.nulls(len(table), kind)
            for name, kind in COLUMNS.items()
        }
        columns["embedding"] = vector_column(vectors.astype(np.float16))
        found = pa.table(list(columns.values()), schema=schema(dim))
        found.validate(full=True)
    except (pa.ArrowException, ValueError, TypeError, KeyError) as error:
        raise CallerError(f"{called} is no table of verdicts: {first_line(error)}") from error
    _check_belongs(found["belongs"].to_numpy(), called)
    return found.replace_schema_metadata(table.schema.metadata)


def _vectors(column: pa.ChunkedArray, dim: int, called: str) -> np.ndarray:
    """Unit embeddings [rows, dim]. Raises CallerError for others, TypeError for a column that is of none."""
    kind, is_a = column.type, pa.types
    lists = is_a.is_list(kind) or is_a.is_large_list(kind) or is_a.is_fixed_size_list(kind)
    if not lists or not (is_a.is_floating(kind.value_type) or is_a.is_integer(kind.value_type)):
        raise TypeError(f"column 'embedding' holds {kind}, no lists of numbers")
    if set(compute.call_function("list_value_length", [column]).to_pylist()) - {dim}:
        raise CallerError(f"{called}: not every verdict has an embedding of {dim} numbers, as the label bank's")
    with np.errstate(over="ignore", invalid="ignore"):
        vectors = np.asarray(vectors_of(column, dim), np.float32)
        if not (np.abs(np.linalg.norm(vectors, axis=1) - 1) < UNIT_TOLERANCE).all():
            raise CallerError(f"{called}: there are embeddings whose length is not 1")
    return vectors


def _check_belongs(belongs: np.ndarray, called: str) -> None:
    """Raises CallerError unless all are probabilities."""
    wrong = np.flatnonzero(~((belongs >= 0) & (belongs <= 1)))
    if len(wrong):
        raise CallerError(f"{called}, row {wrong[0] + 1}: belongs is {belongs[wrong[0]]}, not from 0 to 1")
