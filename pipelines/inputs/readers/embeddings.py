"""Reads tables of embeddings, ours or foreign, to validated rows: each a unit vector, or a status that says why not."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from pipelines.errors import first_line
from pipelines.inputs.readers.cells import as_texts
from pipelines.inputs.readers.parquet import KEY_COLUMNS
from pipelines.inputs.readers.range_file import RangeFile
from pipelines.inputs.readers.row_groups import DAMAGE, ROWS_PER_BATCH, Gap, RowRange, open_table, row_batches

UNIT_TOLERANCE = 2e-3
"""How far a length may be from 1: rounding to float16 takes less."""
EMBEDDING_COLUMNS = ("embedding", "embeddings", "image_embedding", "image_embeddings", "img_emb", "vector", "features")
FOREIGN_KEY_COLUMNS = (*KEY_COLUMNS, "image_path", "filepath", "file_path", "url")


@dataclass
class EmbeddingRows:
    """Consecutive rows of a table of embeddings.

    `vectors`: float32 [rows, dim], zeros where the status is not `ok`. `statuses`, `errors`: objects, one a row; see
    `STATUSES`. `extra`: the table's other columns.
    """

    keys: list[str | None]
    vectors: np.ndarray
    statuses: np.ndarray
    errors: np.ndarray
    extra: dict[str, pa.Array] = field(default_factory=dict)

    @classmethod
    def of(
        cls, keys: list[str | None], vectors: np.ndarray, extra: dict[str, pa.Array] | None = None
    ) -> "EmbeddingRows":
        """Rows that nothing is wrong with."""
        count = len(keys)
        return cls(keys, vectors, np.full(count, "ok", object), np.full(count, None, object), extra or {})

    @classmethod
    def broken(cls, count: int, dim: int, status: str, error: str, columns: Iterable[pa.Field] = ()) -> "EmbeddingRows":
        """Rows that cannot be read, all for one reason. `columns`: the table's other columns, filled with nulls."""
        extra = {column.name: pa.nulls(count, column.type) for column in columns}
        rows = cls.of([None] * count, np.zeros((count, dim), np.float32), extra)
        rows.blame(np.ones(count, bool), status, lambda _: error)
        return rows

    def __len__(self) -> int:
        return len(self.keys)

    def blame(self, where: np.ndarray, status: str, error: Callable[[int], str] = lambda _: "") -> None:
        """Sets the status and error of those chosen rows that are still `ok`, and zeroes their vectors."""
        for row in np.flatnonzero(where & (self.statuses == "ok")).tolist():
            self.statuses[row], self.errors[row] = status, error(row) or None
            self.vectors[row] = 0


@dataclass(frozen=True)
class EmbeddingColumns:
    """Which columns hold the key and the embedding; None: the first that exists of the usual names."""

    key: str | None = None
    embedding: str | None = None

    def find(self, schema: pa.Schema) -> tuple[str, str]:
        """The names of the key column and the embedding column. Raises ValueError, naming the option, if one lacks."""
        if len(set(schema.names)) < len(schema.names):
            raise ValueError(f"there are two columns of one name among {', '.join(schema.names)}")
        embedding = self._column("--embedding-column", self.embedding, EMBEDDING_COLUMNS, schema)
        kind = schema.field(embedding).type
        if list_type(kind) is None:
            raise ValueError(f"--embedding-column {embedding!r} holds {kind}, no lists of floats")
        return self.find_key(schema), embedding

    def find_key(self, schema: pa.Schema) -> str:
        """The name of the key column. Raises ValueError, naming the option, if there is none."""
        return self._column("--key-column", self.key, FOREIGN_KEY_COLUMNS, schema)

    @staticmethod
    def _column(option: str, given: str | None, usual: tuple[str, ...], schema: pa.Schema) -> str:
        found = next((name for name in ((given,) if given else usual) if name in schema.names), None)
        if found is None:
            wanted = repr(given) if given else "one of " + ", ".join(usual)
            raise ValueError(f"there is no column {wanted} among {', '.join(schema.names)}; name it with {option}")
        return found


def list_type(kind: pa.DataType) -> int | None:
    """The length of a fixed-size list of floats, -1 for lists of any length (or only nulls), None for anything else."""
    if isinstance(kind, pa.BaseExtensionType):  # tensors, as Ray and others write them
        kind = kind.storage_type
    if pa.types.is_null(kind):
        return -1
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not pa.types.is_floating(kind.value_type):
        return None
    return kind.list_size if pa.types.is_fixed_size_list(kind) else -1


def read_embedding_table(
    file: BinaryIO | RangeFile, columns: EmbeddingColumns, dim: int, start: int, count: int
) -> Iterator[EmbeddingRows]:
    """`count` rows from `start` on, not yet validated. A damaged row group gives broken rows; none is lost."""
    try:
        table = open_table(file)
        key, embedding = columns.find(table.schema_arrow)
    except (*DAMAGE, ValueError) as error:
        yield from broken_rows(count, dim, "damaged-archive", f"not a readable Parquet file: {first_line(error)}")
        return
    extra = [column for column in table.schema_arrow if column.name not in (key, embedding)]
    for batch in row_batches(table, None, RowRange(start, count)):
        if isinstance(batch, Gap):
            yield from broken_rows(batch.rows, dim, "damaged-archive", batch.reason, extra)
        else:
            yield _rows_of_batch(batch, key, embedding, dim)


def broken_rows(
    count: int, dim: int, status: str, error: str, extra: Sequence[pa.Field] = ()
) -> Iterator[EmbeddingRows]:
    """Rows that cannot be read, as `EmbeddingRows.broken`, no more at once than of those that can."""
    for start in range(0, count, ROWS_PER_BATCH):
        yield EmbeddingRows.broken(min(ROWS_PER_BATCH, count - start), dim, status, error, extra)


def _rows_of_batch(batch: pa.RecordBatch, key: str, embedding: str, dim: int) -> EmbeddingRows:
    """The rows of a record batch; `key`, `embedding`: its columns."""
    column: Any = batch.column(embedding)
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if pa.types.is_null(column.type):
        column = column.cast(pa.list_(pa.float32()))
    lengths = _lengths(column)
    extra = {name: batch.column(name) for name in batch.schema.names if name not in (key, embedding)}
    rows = EmbeddingRows.of(as_texts(batch.column(key)), _vectors(column, lengths == dim, dim), extra)
    rows.blame(lengths < 0, "missing-embedding")
    rows.blame(lengths != dim, "wrong-dimension", lambda row: f"{lengths[row]} numbers, the label bank's have {dim}")
    return rows


def _lengths(column: Any) -> np.ndarray:
    """The length of each list, -1 for null."""
    if pa.types.is_fixed_size_list(column.type):
        return np.where(column.is_valid().to_numpy(zero_copy_only=False), column.type.list_size, -1)
    return column.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False)


def _vectors(column: Any, fits: np.ndarray, dim: int) -> np.ndarray:
    """float32 [rows, dim], zeros for the lists that do not fit. A null among the numbers becomes NaN."""
    numbers = column.filter(pa.array(fits)).flatten().cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    vectors = np.zeros((len(column), dim), np.float32)
    vectors[fits] = numbers.reshape(-1, dim)
    return vectors


def validated(rows: EmbeddingRows, normalize: bool) -> EmbeddingRows:
    """The rows, with a status on each whose vector is not finite and of unit length, or whose key is null.

    `normalize`: scales vectors to unit length first. The rows are changed in place.
    """
    rows.blame(np.array([key is None for key in rows.keys]), "missing-key")
    rows.blame(np.logical_not(np.isfinite(rows.vectors).all(axis=1)), "not-finite")
    lengths: np.ndarray = np.sqrt(np.einsum("ij,ij->i", rows.vectors, rows.vectors, dtype=np.float64))
    rows.blame(np.asarray(lengths == 0), "zero-vector")
    if normalize:
        rows.vectors = (rows.vectors / np.where(lengths, lengths, 1)[:, None]).astype(np.float32)
    else:
        rows.blame(
            np.abs(lengths - 1) > UNIT_TOLERANCE, "not-unit-norm", lambda row: f"its length is {lengths[row]:.4g}"
        )
    return rows
