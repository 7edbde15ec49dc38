"""Files of a scan directory as `verify` reads them: what is wrong with one is said, not raised."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import first_line
from pipelines.inputs.readers.row_groups import MOST_ROWS, ROWS_PER_BYTE
from pipelines.scan_directory.columns import EMBEDDING
from pipelines.scan_directory.identity import Fingerprints
from pipelines.scan_directory.layout import RECORDS_KEY, carries
from pipelines.scan_directory.receipts import digest_of
from pipelines.storage import Directory


class UnfitError(Exception):
    """A file is not what it should be; the message says what it is instead."""


@dataclass
class Inspection:
    """Reads the files of a scan directory, and gathers what is wrong with them, in `problems`.

    `fingerprints`: of the scan that every table must be of; `dimensions`: of the embeddings in each file.
    """

    output: Directory
    fingerprints: Fingerprints = field(default_factory=lambda: Fingerprints.one(""))
    problems: list[str] = field(default_factory=list)
    dimensions: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def checking(self, name: str) -> Iterator[None]:
        """Makes a problem of whatever a check of the file raises: nobody can foresee what damage makes of a file."""
        try:
            with np.errstate(divide="raise", over="raise", invalid="raise"):
                yield
        except UnfitError as error:
            self.problems.append(f"{name}: {error}")
        except Exception as error:
            self.problems.append(f"{name} cannot be checked: {first_line(error)}")

    def content(self, name: str) -> bytes | None:
        """A file's content; None, which is a problem, if it cannot be read."""
        try:
            return self.output.read(name)
        except (FileNotFoundError, NotADirectoryError):
            self.problems.append(f"{name} is missing")
        except Exception as error:  # every file system has errors of its own
            self.problems.append(f"{name} cannot be read: {first_line(error)}")
        return None

    def table(self, name: str, columns: pa.Schema, digest: str | None = None, counted: bool = True) -> pa.Table | None:
        """A table of this scan that has these columns; None, which is a problem, if it is another or has not.

        `digest`: of the file as it was committed, if that is known; `counted`: whether its metadata may tell its rows.
        """
        content = self.content(name)
        table = None if content is None else self.table_from(name, content, columns)
        if content is None or table is None:
            return None
        metadata = table.schema.metadata or {}
        if not carries(table, self.fingerprints.of(name.partition("/")[0])):
            self.problems.append(f"{name} carries the fingerprint of another scan")
            return None
        if digest not in (None, digest_of(content)):
            self.problems.append(f"{name} is not the file that was committed")
        elif counted and (rows := metadata.get(RECORDS_KEY, b"%d" % len(table))) != b"%d" % len(table):
            self.problems.append(f"{name} has {len(table)} rows, but {rows.decode(errors='replace')} were committed")
        if EMBEDDING in columns.names:
            self.dimensions[name] = table.schema.field(EMBEDDING).type.list_size
        return table

    def table_from(self, name: str, content: bytes, columns: pa.Schema) -> pa.Table | None:
        """A table that has these columns, from a file's content; None, which is a problem, if it has not."""
        try:
            table = _read(content)
        except Exception as error:  # pyarrow raises more than its own exceptions on damaged files
            self.problems.append(f"{name} cannot be read: {first_line(error)}")
            return None
        with self.checking(name):
            _check_columns(table, columns)
            return table
        return None

    def check_dimensions(self) -> None:
        """Adds a problem for each file whose embeddings have another dimension than those of most."""
        for usual, _ in Counter(self.dimensions.values()).most_common(1):
            for name, found in self.dimensions.items():
                if found != usual:
                    self.problems.append(f"{name}: the embeddings have dimension {found}, those of the others {usual}")


def vectors(kind: pa.DataType) -> pa.DataType:
    """The type of a column of vectors of this type, in a schema for `Inspection.table`; they may have any length."""
    return pa.list_(kind, 1)


def required(**columns: pa.DataType) -> list[pa.Field]:
    """Columns without nulls, for a schema."""
    return [pa.field(name, kind, nullable=False) for name, kind in columns.items()]


def _read(content: bytes) -> pa.Table:
    file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    rows = file.metadata.num_rows
    if rows > max(MOST_ROWS, ROWS_PER_BYTE * len(content)):
        raise UnfitError(f"its footer says {rows} rows, more than {len(content)} bytes hold")
    table = file.read()
    table.validate(full=True)
    return table


def _check_columns(table: pa.Table, columns: pa.Schema) -> None:
    """Raises UnfitError for a column that is missing, there twice or of another type, for nulls and numbers that are
    not finite."""
    for column in columns:
        name, count = column.name, len(table.schema.get_all_field_indices(column.name))
        if count != 1:
            raise UnfitError(f"there are {count} columns {name!r}" if count else f"there is no column {name!r}")
        found = table.schema.field(name).type
        if not _fits(found, column.type):
            raise UnfitError(f"column {name!r} holds {found}, not {_described(column.type)}")
        values = pa.chunked_array(table[name]).combine_chunks()
        if not column.nullable and values.null_count:
            raise UnfitError(f"column {name!r} has nulls")
        for part in _parts(values):
            if part is not values and part.null_count:
                raise UnfitError(f"column {name!r} has nulls within its lists")
            if pa.types.is_floating(part.type) and not np.isfinite(part.drop_null().to_numpy(False)).all():
                raise UnfitError(f"column {name!r} has numbers that are not finite")


def _fits(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a column is of the type, whatever the items of lists are called, and however long vectors are."""
    if pa.types.is_fixed_size_list(wanted):
        return pa.types.is_fixed_size_list(found) and found.list_size > 0 and found.value_type == wanted.value_type
    if pa.types.is_map(wanted):
        return pa.types.is_map(found) and (found.key_type, found.item_type) == (wanted.key_type, wanted.item_type)
    if pa.types.is_struct(wanted):
        named = [(one.name, one.type) for one in wanted]
        return (
            pa.types.is_struct(found)
            and [one.name for one in found] == [name for name, _ in named]
            and all(_fits(one.type, kind) for one, (_, kind) in zip(found, named, strict=True))
        )
    if pa.types.is_list(wanted):
        return pa.types.is_list(found) and _fits(found.value_type, wanted.value_type)
    return found == wanted


def _described(kind: pa.DataType) -> str:
    return f"vectors of {kind.value_type}" if pa.types.is_fixed_size_list(kind) else str(kind)


def _parts(values: Any) -> Iterator[Any]:
    """An array, and those that its lists, maps and structs are made of."""
    yield values
    kind = values.type
    if pa.types.is_map(kind):
        yield from (*_parts(values.keys), *_parts(values.items))
    elif pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _parts(values.flatten())
    elif pa.types.is_struct(kind):
        for part in values.flatten():
            yield from _parts(part)
