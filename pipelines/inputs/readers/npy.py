"""Reads embeddings as clip-retrieval writes them: `img_emb/img_emb_0.npy`, keys in `metadata/metadata_0.parquet`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from fsspec import AbstractFileSystem

from pipelines.inputs.readers.cells import as_texts
from pipelines.inputs.readers.embeddings import EmbeddingColumns, EmbeddingRows
from pipelines.inputs.readers.range_file import RETRY_S, RangeFile, fetch
from pipelines.inputs.readers.row_groups import ROWS_PER_BATCH, Gap, RowRange, open_table, row_batches

FOLDER, STEM, KEYS_FOLDER, KEYS_STEM = "img_emb", "img_emb_", "metadata", "metadata_"
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True)
class Layout:
    """What the header of a `.npy` file says: where its numbers begin, in bytes, and their shape and type."""

    offset: int
    rows: int
    dim: int
    dtype: np.dtype

    @classmethod
    def of(cls, file: BinaryIO, size: int) -> "Layout":
        """Reads the header. Raises ValueError for what is not a whole file of rows of floats. Never unpickles."""
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"it is of .npy version {version}")
        shape, fortran_order, dtype = HEADERS[version](file)
        if fortran_order and len(shape) == 2:
            raise ValueError("it holds numbers column by column (Fortran order), not row by row")
        if len(shape) != 2 or dtype.kind != "f":
            raise ValueError(f"it holds {dtype} of shape {shape}, not rows of floats")
        layout = cls(file.tell(), shape[0], shape[1], dtype)
        if layout.offset + layout.rows * layout.row_bytes != size:
            raise ValueError(f"it has {size} bytes, which is not what its header says: it is cut or not whole")
        return layout

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.dim * self.dtype.itemsize


def keys_url(url: str) -> str | None:
    """The URL of the table of a `.npy` file's keys; None if the file is not named as clip-retrieval names it."""
    root, _, name = url.rpartition("/")
    parent, _, folder = root.rpartition("/")
    if folder != FOLDER or not (name.startswith(STEM) and name.endswith(".npy")):
        return None
    return f"{parent}/{KEYS_FOLDER}/{KEYS_STEM}{name.removeprefix(STEM).removesuffix('.npy')}.parquet"


def read_vectors(
    files: AbstractFileSystem, path: str, layout: Layout, start: int, count: int, retry_s: float = RETRY_S
) -> Iterator[np.ndarray]:
    """`count` rows from `start` on as float32, at most `ROWS_PER_BATCH` at once, by byte ranges.

    Not by a memory map, even of a local file: one that is cut short while it is mapped ends the process. Raises
    ReadError if the storage fails for good.
    """
    for first in range(start, start + count, ROWS_PER_BATCH):
        rows = min(ROWS_PER_BATCH, start + count - first)
        place, size = layout.offset + first * layout.row_bytes, rows * layout.row_bytes
        content = fetch(files, path, place, size, retry_s=retry_s)
        yield np.frombuffer(content, layout.dtype).reshape(rows, layout.dim).astype(np.float32)


def read_keys(file: BinaryIO | RangeFile, columns: EmbeddingColumns, start: int, count: int) -> Iterator[str | None]:
    """The keys of `count` rows from `start` on; None for those that cannot be read."""
    table = open_table(file)
    key = columns.find_key(table.schema_arrow)
    for batch in row_batches(table, [key], RowRange(start, count)):
        yield from [None] * batch.rows if isinstance(batch, Gap) else as_texts(batch.column(0))


def read_npy(vectors: Iterator[np.ndarray], keys: Iterator[str | None]) -> Iterator[EmbeddingRows]:
    """The rows of a `.npy` file with their keys, not yet validated."""
    for part in vectors:
        yield EmbeddingRows.of([next(keys) for _ in range(len(part))], part)
