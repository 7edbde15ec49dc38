"""Reads Parquet files with a column of image bytes, or of Hugging Face's struct of bytes and path."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

import pyarrow as pa

from pipelines.errors import first_line
from pipelines.inputs.readers.cells import as_texts, holds_images, image_cells
from pipelines.inputs.readers.range_file import RangeFile
from pipelines.inputs.readers.record import Record
from pipelines.inputs.readers.row_groups import (
    BATCH_BYTES,
    DAMAGE,
    MOST_ROWS,
    Gap,
    RowRange,
    open_table,
    row_batches,
)

IMAGE_COLUMNS = ("image", "img", "jpg", "png", "webp", "image_bytes", "bytes", "content")
KEY_COLUMNS = ("key", "__key__", "id", "image_id", "filename", "path")


@dataclass(frozen=True)
class ImageColumns:
    """Which columns hold the image and the key; None: the first that exists of the usual names."""

    image: str | None = None
    key: str | None = None

    def find(self, schema: pa.Schema) -> tuple[str, str | None]:
        """The image column and the key column (None: the row's number is the key).

        Raises ValueError if none fits, LookupError if two have the name of one that does.
        """
        image = _first_present([self.image] if self.image else IMAGE_COLUMNS, schema.names)
        if image is None:
            wanted = repr(self.image) if self.image else "one of " + ", ".join(IMAGE_COLUMNS)
            raise ValueError(f"no image column ({wanted}) among {', '.join(schema.names)}")
        if schema.names.count(image) > 1:
            raise LookupError(f"there are {schema.names.count(image)} columns {image!r}")
        if not holds_images(schema.field(image).type):
            raise ValueError(f"column {image!r} holds {schema.field(image).type}, not image bytes")
        key = _first_present([self.key] if self.key else KEY_COLUMNS, schema.names)
        if key is None and self.key:
            raise ValueError(f"no key column {self.key!r} among {', '.join(schema.names)}")
        if schema.names.count(key) > 1:
            raise LookupError(f"there are {schema.names.count(key)} columns {key!r}")
        return image, key


def read_parquet(
    file: BinaryIO | RangeFile,
    columns: ImageColumns,
    max_bytes: int,
    wanted: RowRange | None = None,
    url: str = "",
    max_rows: int = MOST_ROWS,
) -> Iterator[Record]:
    """The images of the wanted rows of the Parquet file at `url`, in order; None: of all.

    `max_bytes`, `max_rows`: see `open_table`. Rows of a damaged row group become error records, and those after a page
    that is refused. The default key is the row's number in the file.
    """
    try:
        table = open_table(file, max_bytes, max_rows)
        schema = table.schema_arrow
    except DAMAGE as error:
        reason = f"not a readable Parquet file: {first_line(error)}"
        if wanted is None:
            yield Record("", status="damaged-archive", error=reason, url=url)
        else:
            yield from _bad(wanted, "damaged-archive", reason, url)
        return
    wanted = wanted or RowRange(0, table.metadata.num_rows)
    try:
        image, key = columns.find(schema)
    except (ValueError, LookupError) as error:
        yield from _bad(wanted, "missing-image", str(error), url)
        return
    row, names = wanted.start, [image, *([key] if key and key != image else [])]
    for batch in row_batches(table, names, wanted, batch_bytes=BATCH_BYTES):
        if isinstance(batch, Gap):
            yield from _bad(RowRange(row, batch.rows), batch.status, batch.reason, url)
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
    try:
        keys = as_texts(batch.column(key)) if key and key != image else [None] * len(batch)
        cells = image_cells(batch.column(image))
    except DAMAGE as error:  # a dictionary that lacks what its indices name, among others
        yield from _bad(RowRange(first, len(batch)), "damaged-archive", first_line(error), "")
        return
    for offset, ((cell, why), name) in enumerate(zip(cells, keys, strict=True)):
        named = str(first + offset) if name is None else name
        if cell is None:
            yield Record(named, status="missing-image", error=why)
        else:
            yield _record(named, cell.as_buffer(), max_bytes)  # pyright: ignore[reportAttributeAccessIssue]


def _record(key: str, content: pa.Buffer, max_bytes: int) -> Record:
    if content.size > max_bytes:
        return Record(key, status="too-large", error=f"{content.size} bytes, more than {max_bytes}")
    return Record(key, content.to_pybytes())


def _first_present(names: list[str] | tuple[str, ...], present: list[str]) -> str | None:
    """The first of the names that is among those present."""
    return next((name for name in names if name in present), None)
