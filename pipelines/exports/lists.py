"""Lists of the records to keep and to drop, as Parquet tables and as text, written shard after shard."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ood_core.methods import score_column
from ood_core.vectors import parquet_options
from pipelines.errors import CallerError
from pipelines.exports.choice import Choice, Decided
from pipelines.storage import Directory

SCHEMA = pa.schema(
    {
        "key": pa.string(),
        "shard": pa.string(),
        "index": pa.int64(),
        "url": pa.string(),
        "score": pa.float64(),
        "reason": pa.string(),
    }
)
"""The columns of a list. `score`: by the method of the choice; `reason`: why the record is dropped, null if it is
kept."""

KEEP, DROP = "keep", "drop"
ROWS_PER_GROUP = 2**17
"""Of a Parquet list: many small shards share a row group."""

Add = Callable[[pa.Table], None]
"""Adds rows of `SCHEMA` to a list."""


@contextmanager
def parquet_list(file: BinaryIO, rows_per_group: int = ROWS_PER_GROUP) -> Iterator[Add]:
    """Writes a list as a Parquet file."""
    held, count = list[pa.Table](), 0

    def write() -> None:
        nonlocal count
        if held:
            writer.write_table(pa.concat_tables(held))
        held.clear()
        count = 0

    def add(rows: pa.Table) -> None:
        nonlocal count
        held.append(rows)
        count += len(rows)
        if count >= rows_per_group:
            write()

    with pq.ParquetWriter(file, SCHEMA, **parquet_options(SCHEMA)) as writer:
        yield add
        write()


@contextmanager
def text_list(file: BinaryIO) -> Iterator[Add]:
    """Writes a list as text, a key a line. Dropped records without a name, such as damage, are left out."""

    def add(rows: pa.Table) -> None:
        for row in rows.to_pylist():
            key = row["key"] or ""
            if "\n" in key or "\r" in key or not (key or row["reason"]):
                place = f"record {row['index']} of {row['shard']}"
                raise CallerError(f"--lists text: the key of {place}, {key!r}, is no line; use --lists parquet")
            if key:
                file.write(f"{key}\n".encode())

    yield add


KINDS: Mapping[str, tuple[str, Callable[[BinaryIO], AbstractContextManager[Add]]]] = {
    "parquet": ("parquet", parquet_list),
    "text": ("txt", text_list),
}
"""By the name of a kind of lists the suffix of its files, and what writes one."""


def list_files(kinds: Sequence[str]) -> list[str]:
    """The names of the files of these kinds of lists; those of other kinds are left out."""
    return [f"{name}.{KINDS[kind][0]}" for kind in kinds if kind in KINDS for name in (KEEP, DROP)]


@contextmanager
def writing_lists(output: Directory, kinds: Sequence[str], choice: Choice) -> Iterator[Callable[[Decided], None]]:
    """A function that adds a shard to the lists; their files are visible once they are whole, and not after an error.

    It raises CallerError for a record that a list cannot hold.
    """
    with ExitStack() as open_files:

        def opened(name: str, kind: str) -> Add:
            suffix, writing = KINDS[kind]
            return open_files.enter_context(writing(open_files.enter_context(output.writing(f"{name}.{suffix}"))))

        chosen = [kind for kind in kinds if kind in KINDS]
        keep, drop = ([opened(name, kind) for kind in chosen] for name in (KEEP, DROP))

        def add(decided: Decided) -> None:
            rows = list_rows(decided, choice)
            for adders, of in ((keep, decided.keep), (drop, ~decided.keep)):
                found = rows.filter(pa.array(of))
                for add_to in adders:
                    add_to(found)

        yield add


def list_rows(decided: Decided, choice: Choice) -> pa.Table:
    """The rows of a shard as lists have them."""
    rows, url = decided.rows, pa.nulls(len(decided.rows), pa.string())
    if "url" in rows.column_names and pa.types.is_string(rows.schema.field("url").type):
        url = rows["url"]
    columns = [rows["key"], rows["shard"], rows["index"], url, rows[score_column(choice.method)], decided.reasons]
    return pa.table(columns, SCHEMA)
