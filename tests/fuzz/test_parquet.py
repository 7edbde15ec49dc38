"""What the Parquet reader has to withstand, by numbers of mutants; `surviving.py` says how to make one again."""

import io
import random

from pipelines.inputs.readers.parquet import ImageColumns, read_parquet
from pipelines.inputs.readers.record import Record
from tests.fuzz.mutations import mutant
from tests.fuzz.surviving import PATIENCE, Check, survive
from tests.fuzz.tables import ROWS, ROWS_PER_GROUP, TABLES, Table

pytestmark = PATIENCE
MAX_BYTES = 10**6
MUTANTS = 40_000


def read(content: bytes) -> list[Record]:
    return list(read_parquet(io.BytesIO(content), ImageColumns(), MAX_BYTES))


def make_check() -> Check:
    bases = [(table, table.ways(), read(table.content)) for table in TABLES]

    def check(chance: random.Random) -> None:
        table, ways, whole = chance.choice(bases)
        content, _ = mutant(table.content, ways, chance)
        records = read(content)
        assert records == read(content), "it is read otherwise the second time"
        not_a_file = [(record.key, record.status) for record in records] == [("", "damaged-archive")]
        assert not_a_file or [record.row for record in records] == list(range(len(records))), "rows are lost in silence"
        assert not any("malloc" in str(record.error) for record in records), "memory is asked for that nobody has"
        if len(content) == len(table.content) and content[table.footer :] == table.content[table.footer :]:
            check_groups(table, content, whole, records)

    return check


def check_groups(table: Table, content: bytes, whole: list[Record], records: list[Record]) -> None:
    """A row group whose bytes are what they were is read as it was, and no row is without a record."""
    assert len(records) == ROWS
    for number, (start, end) in enumerate(table.groups):
        rows = slice(number * ROWS_PER_GROUP, (number + 1) * ROWS_PER_GROUP)
        if content[start:end] == table.content[start:end] and content[:4] == table.content[:4]:
            assert records[rows] == whole[rows], f"row group {number} is intact and read otherwise"


def test_every_table_is_read_whole_before_it_is_changed() -> None:
    assert len(TABLES) == 60
    for table in TABLES:
        assert [record.row for record in read(table.content)] == list(range(ROWS))
        assert {record.status for record in read(table.content)} == {"ok", "missing-image"}


def test_no_mutant_of_a_table_raises_hangs_or_loses_a_row_in_silence() -> None:
    survive(make_check, MUTANTS)
