"""Reads Parquet files with a column of image bytes, or of Hugging Face's struct of bytes and path."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import pyarrow as pa

from pipelines.errors import first_line
from pipelines.inputs.readers.range_file import RangeFile
from pipelines.inputs.readers.record import Record
from pipelines.inputs.readers.row_groups import DAMAGE, Gap, RowRange, open_table, row_batches

IMAGES_PER_BATCH = 64
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


def read_parquet(
    file: BinaryIO | RangeFile,
    columns: ImageColumns,
    max_bytes: int,
    start: int = 0,
    rows: int | None = None,
    url: str = "",
) -> Iterator[Record]:
    """The images of the Parquet file at `url` in row order: `rows` of them from `start` on; None: all.

    Rows of a damaged row group become error records. The default key is the row's number in the file.
    """
    try:
        table = open_table(file)
        schema = table.schema_arrow
    except DAMAGE as error:
        reason = f"not a readable Parquet file: {first_line(error)}"
        if rows is None:
            yield Record("", status="damaged-archive", error=reason, url=url)
        else:
            yield from _bad(RowRange(start, rows), "damaged-archive", reason, url)
        return
    wanted = RowRange(start, table.metadata.num_rows - start if rows is None else rows)
    try:
        image, key = columns.find(schema)
    except ValueError as error:
        yield from _bad(wanted, "missing-image", str(error), url)
        return
    row = start
    for batch in row_batches(table, list(dict.fromkeys([image, *([key] if key else [])])), wanted, IMAGES_PER_BATCH):
        if isinstance(batch, Gap):
            yield from _bad(RowRange(row, batch.rows), "damaged-archive", batch.reason, url)
            row += batch.rows
        else:
            for record in _records(batch, image, key, row, max_bytes):
                yield replace(record, url=url, row=row)
                row += 1


def _bad(rows: RowRange, status: str, error: str, url: str) -> Iterator[Record]:
    """Error records of these rows, all for one reason."""
    for row in range(rows.start, rows.start + rows.rows):
        yield Record(str(row), status=status, error=error, url=url, row=row)


def _records(batch: pa.RecordBatch, image: str, key: str | None, first: int, max_bytes: int) -> Iterator[Record]:
    """The records of a batch, without their place; `first`: its first row's number, the key of one that has none."""
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
