"""Tables of questions row by row, and rows of answers in tables."""

import time
from collections.abc import Iterable, Iterator

import pyarrow as pa

from ood_core.negfilter.questions import ANSWERS
from pipelines.errors import CallerError
from pipelines.judges.forms import Row

TABLE_ROWS, TABLE_SECONDS = 256, 5.0
"""A table of answers is passed on once it has so many rows, or after so long."""


def one_by_one(questions: Iterable[pa.Table], columns: pa.Schema) -> Iterator[Row]:
    """The questions one by one."""
    for table in questions:
        for batch in table.select(columns.names).to_batches(max_chunksize=TABLE_ROWS):
            yield from batch.to_pylist()


def in_tables(rows: Iterable[Row]) -> Iterator[pa.Table]:
    """Answers gathered into tables; those that came before a CallerError are passed on as well."""
    held: list[Row] = []
    since = time.monotonic()
    try:
        for row in rows:
            held.append(row)
            if len(held) >= TABLE_ROWS or time.monotonic() - since >= TABLE_SECONDS:
                yield pa.Table.from_pylist(held, schema=ANSWERS)
                held, since = [], time.monotonic()
    except CallerError:
        if held:
            yield pa.Table.from_pylist(held, schema=ANSWERS)
        raise
    if held:
        yield pa.Table.from_pylist(held, schema=ANSWERS)
