"""Cells of tables as what they stand for: keys as text, images as bytes, whatever type a writer has chosen for them."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyarrow import types

BYTES, PATH = "bytes", "path"
"""The fields of Hugging Face's struct of an image."""


def as_texts(column: Any) -> list[str | None]:
    """The cells of a column of any type as text; bytes that are not UTF-8 are escaped."""
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_binary(column.type) or _is_text(column.type):
        cells = column.cast(pa.large_binary()).to_pylist()
        return [None if cell is None else cell.decode("utf-8", "backslashreplace") for cell in cells]
    try:
        return column.cast(pa.string()).to_pylist()  # Python could not hold every time that Arrow can
    except pa.ArrowException:  # of lists and structs
        return [None if cell is None else str(cell) for cell in column.to_pylist()]


def holds_images(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold images: bytes, lists of bytes, or structs of bytes or a path."""
    if types.is_struct(kind):
        return any(
            (field.name == BYTES and (_is_binary(field.type) or types.is_null(field.type)))
            or (field.name == PATH and _is_text(field.type))
            for field in kind.fields
        )
    return _is_binary(kind.value_type) if _is_list(kind) else _is_binary(kind)


def image_cells(column: Any) -> Iterator[tuple[pa.Scalar | None, str]]:
    """For each cell of a column of images its bytes, or None and why there are none.

    Raises ArrowException, before the first, for a column whose cells point nowhere.
    """
    if types.is_struct(column.type):
        names = [field.name for field in column.type.fields]
        whole = column.flatten()  # a null struct has null fields
        images = whole[names.index(BYTES)].cast(pa.large_binary()) if BYTES in names else pa.nulls(len(column))
        paths = as_texts(whole[names.index(PATH)]) if PATH in names else [None] * len(column)
        return map(_of_struct, images, paths)
    if _is_list(column.type):
        return map(_of_list, column.cast(pa.large_list(pa.large_binary())))
    return ((cell if cell.is_valid else None, "null") for cell in column.cast(pa.large_binary()))


def _of_struct(image: pa.Scalar, path: str | None) -> tuple[pa.Scalar | None, str]:
    return image if image.is_valid else None, "null" if path is None else f"never embedded: path {path!r}"


def _of_list(cell: Any) -> tuple[pa.Scalar | None, str]:
    count = len(cell) if cell.is_valid else 0
    image = cell[0] if count == 1 else None
    return image if image and image.is_valid else None, f"a list of {count} images, not one" if count > 1 else "null"


def _is_list(kind: pa.DataType) -> bool:
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _is_binary(kind: pa.DataType) -> bool:
    if types.is_dictionary(kind):
        kind = kind.value_type
    is_kinds = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
    return any(is_kind(kind) for is_kind in is_kinds)


def _is_text(kind: pa.DataType) -> bool:
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
