import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ReadError
from pipelines.exports.tables import GROUP_BYTES, write_filtered
from pipelines.inputs.readers.row_groups import open_table


def written(rows: pa.Table, keep: list[bool], group_rows: int = 4, group_bytes: int = GROUP_BYTES) -> pq.ParquetFile:
    """What is kept of a file of these rows."""
    source, out = io.BytesIO(), io.BytesIO()
    pq.write_table(rows, source, row_group_size=group_rows)
    write_filtered(open_table(source), np.array(keep, bool), out, group_bytes)
    return pq.ParquetFile(out)


def rows_of(count: int) -> pa.Table:
    return pa.table({"row": range(count), "image": [b"x" * 1000] * count})


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 8))
def test_the_rows_that_are_kept_are_there_in_order(keep: list[bool], group_rows: int) -> None:
    rows = rows_of(len(keep))
    made = written(rows, keep, group_rows)
    assert made.read().equals(rows.filter(pa.array(keep, pa.bool_())))
    groups = {row // group_rows for row, is_kept in enumerate(keep) if is_kept}
    if groups:
        assert made.metadata.num_row_groups == len(groups)


def test_rows_of_which_nothing_is_known_are_left_out() -> None:
    assert written(rows_of(9), [False, True]).read()["row"].to_pylist() == [1]


def test_a_row_that_is_not_there_is_told_of() -> None:
    with pytest.raises(ReadError, match="rows that are kept are not there: the table has 2"):
        written(rows_of(2), [True, True, True])
    assert written(rows_of(2), [True, True, False]).metadata.num_rows == 2


def test_no_more_of_a_row_group_is_held_than_may_be() -> None:
    made = written(rows_of(20_000), [True] * 20_000, group_rows=20_000, group_bytes=6_000_000)
    sizes = [made.metadata.row_group(group).num_rows for group in range(made.metadata.num_row_groups)]
    assert sum(sizes) == 20_000
    assert max(sizes) * 1000 < 6_000_000 + 4096 * 1020


def test_a_file_of_no_row_groups_stays_one(tmp_path: Path) -> None:
    assert written(rows_of(0), []).read().equals(rows_of(0))
