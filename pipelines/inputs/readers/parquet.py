"""Reads Parquet files with a column of image bytes, or of Hugging Face's struct of bytes and path."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import first_line
from pipelines.inputs.readers.record import Record

IMAGES_PER_BATCH = 64
DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)
"""The exceptions that pyarrow raises on damaged files."""
IMAGE_COLUMNS = ("image", "img", "jpg", "png", "webp", "image_bytes", "bytes", "content")
KEY_COLUMNS = ("key", "__key__", "id", "image_id", "filename", "path")


@dataclass(frozen=True)
class ImageColumns:
    """Which columns hold the image and the key; None: the first that exists of the usual names."""

    image: str | None = None
    key: str | None = None

    def find(self, schema: pa.Schema) -> tuple[str, str | None]:
        """The image column and the key column (None: the row's number is the key). Raises ValueError if none fits."""
        image = _first_present([self.image] if self.image else IMAGE_COLUMNS, schema.names)
        if image is None:
            wanted = repr(self.image) if self.image else "one of " + ", ".join(IMAGE_COLUMNS)
            raise ValueError(f"no image column ({wanted}) among {', '.join(schema.names)}")
        if not _holds_bytes(schema.field(image).type):
            raise ValueError(f"column {image!r} holds {schema.field(image).type}, not image bytes")
        key = _first_present([self.key] if self.key else KEY_COLUMNS, schema.names)
        if key is None and self.key:
            raise ValueError(f"no key column {self.key!r} among {', '.join(schema.names)}")
        return image, key


def read_parquet(file: BinaryIO, columns: ImageColumns, max_bytes: int) -> Iterator[Record]:
    """The images of a Parquet file in row order. Rows of a damaged row group become error records."""
    try:
        table = pq.ParquetFile(file, page_checksum_verification=True)
        schema, ends = table.schema_arrow, _row_group_ends(table.metadata)
    except DAMAGE as error:
        yield Record("", status="damaged-archive", error=f"not a readable Parquet file: {first_line(error)}")
        return
    try:
        image, key = columns.find(schema)
    except ValueError as error:
        for number in range(ends[-1] if ends else 0):
            yield Record(str(number), status="missing-image", error=str(error))
        return
    wanted = list(dict.fromkeys([image, *([key] if key else [])]))
    row = 0
    for group, end in enumerate(ends):
        reason = "it holds fewer rows than the file's footer says"
        try:
            for batch in table.iter_batches(IMAGES_PER_BATCH, [group], wanted, use_threads=False):
                for record in _records(batch, image, key, row, max_bytes):
                    yield record
                    row += 1
        except DAMAGE as error:
            reason = first_line(error)
        for number in range(row, end):
            yield Record(str(number), status="damaged-archive", error=f"row group {group}: {reason}")
        row = end


def _row_group_ends(footer: pq.FileMetaData) -> list[int]:
    """The row number at which each row group ends (exclusive). Raises ArrowInvalid if the footer contradicts itself."""
    counts = [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]
    if sum(counts) != footer.num_rows or min(counts, default=0) < 0:
        raise pa.ArrowInvalid(f"the footer says {footer.num_rows} rows, and row groups of {counts} rows")
    return list(itertools.accumulate(counts))


def _records(batch: pa.RecordBatch, image: str, key: str | None, first: int, max_bytes: int) -> Iterator[Record]:
    """The records of a batch; `first`: the file's row number of its first, the key of a row that has none."""
    cells = batch.column(image)
    if pa.types.is_struct(cells.type):
        cells = cells.field("bytes") if not cells.null_count else pa.array(_struct_bytes(cells), pa.large_binary())
    keys = _keys(batch.column(key)) if key and key != image else [None] * len(batch)
    for offset, (cell, name) in enumerate(zip(cells, keys, strict=True)):
        named = str(first + offset) if name is None else str(name)
        yield _record(named, cell, max_bytes)


def _keys(cells: pa.Array) -> list[Any]:
    """The values of a key column. Text that is not UTF-8 is escaped: Arrow takes whatever bytes the file holds."""
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        raw = cells.cast(pa.large_binary()).to_pylist()
        return [None if cell is None else cell.decode("utf-8", "backslashreplace") for cell in raw]
    return cells.to_pylist()


def _record(key: str, cell: pa.Scalar, max_bytes: int) -> Record:
    if not cell.is_valid:
        return Record(key, status="missing-image", error="null")
    content = cell.as_buffer()  # pyright: ignore[reportAttributeAccessIssue]
    if content.size > max_bytes:
        return Record(key, status="too-large", error=f"{content.size} bytes, more than {max_bytes}")
    return Record(key, content.to_pybytes())


def _struct_bytes(cells: pa.Array) -> list[bytes | None]:
    return [cell["bytes"].as_py() if cell.is_valid else None for cell in cells]


def _first_present(names: list[str] | tuple[str, ...], present: list[str]) -> str | None:
    """The first of the names that is among those present."""
    return next((name for name in names if name in present), None)


def _holds_bytes(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold images: binary, or a struct with a field `bytes`."""
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind.fields)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
