import io
import itertools
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.inputs.readers.row_groups import Gap, RowRange, open_table, row_batches, row_ranges
from tests.pipelines.inputs.lying_footer import claiming


@pytest.mark.parametrize(
    ("groups", "most", "expected"),
    [
        ([], 10, []),
        ([0, 0], 10, []),
        ([10], 10, [(0, 10)]),
        ([4, 4, 4], 10, [(0, 8), (8, 4)]),
        ([4, 0, 6, 1], 10, [(0, 10), (10, 1)]),
        ([4, 7, 3], 10, [(0, 4), (4, 10)]),  # not (0, 10): the second group would be read twice
        ([11], 5, [(0, 5), (5, 5), (10, 1)]),
        ([3, 11, 3], 5, [(0, 3), (3, 5), (8, 5), (13, 4)]),  # the last begins with what is left of the large group
    ],
)
def test_a_table_is_cut_where_row_groups_end(groups: list[int], most: int, expected: list[tuple[int, int]]) -> None:
    assert list(row_ranges(groups, most)) == expected


@given(st.lists(st.integers(0, 30)), st.integers(1, 20))
def test_ranges_hold_every_row_once_and_share_no_row_group_that_fits(groups: list[int], most: int) -> None:
    ranges = list(row_ranges(groups, most))
    assert [row for start, rows in ranges for row in range(start, start + rows)] == list(range(sum(groups)))
    assert all(0 < rows <= most for _, rows in ranges)
    starts = {start for start, _ in ranges}
    first = 0
    for rows in groups:
        if rows <= most and not starts.isdisjoint(range(first + 1, first + rows)):
            pytest.fail(f"a row group of {rows} rows is cut")
        first += rows
    assert all(one.rows + other.rows > most / 2 for one, other in itertools.pairwise(ranges))


def file_of(rows: int, rows_per_group: int) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"x": range(rows)}), buffer, row_group_size=rows_per_group)
    return buffer.getvalue()


@given(st.integers(0, 40), st.integers(1, 15), st.integers(0, 40), st.integers(0, 40), st.integers(1, 9))
def test_a_range_of_rows_is_read_wherever_row_groups_end(
    rows: int, per_group: int, start: int, count: int, at_once: int
) -> None:
    found: list[int | str] = []
    for batch in row_batches(open_table(io.BytesIO(file_of(rows, per_group))), None, RowRange(start, count), at_once):
        assert isinstance(batch, Gap) or 0 < len(batch) <= at_once
        found += [batch.reason] * batch.rows if isinstance(batch, Gap) else batch["x"].to_pylist()
    there = list(range(rows))[start : start + count]
    assert found == there + ["the file holds fewer rows than planned"] * (count - len(there))


@pytest.mark.parametrize("claimed", [2**16, 2**40, 2**62])
def test_a_footer_that_claims_more_rows_than_is_allowed_and_than_the_file_has_bits_is_damage(claimed: int) -> None:
    content = claiming(file_of(1000, 1000), 1000, claimed)
    with pytest.raises(pa.ArrowInvalid, match=f"the footer says {claimed} rows, more than 1000 .--max-rows-per-shard"):
        open_table(io.BytesIO(content), max_rows=1000)
    assert open_table(io.BytesIO(content), max_rows=claimed).metadata.num_rows == claimed


def test_a_table_has_as_many_rows_as_it_has_bits_or_as_are_allowed() -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"x": pa.nulls(100_000, pa.binary())}), buffer)
    assert 8 * len(buffer.getvalue()) < 100_000
    open_table(io.BytesIO(buffer.getvalue()))
    open_table(io.BytesIO(file_of(1000, 1000)), max_rows=1)
    with pytest.raises(pa.ArrowInvalid, match="the footer says 100000 rows, more than 99999 "):
        open_table(io.BytesIO(buffer.getvalue()), max_rows=99_999)


def test_rows_are_read_many_at_once_where_they_are_small_and_singly_where_they_are_large() -> None:
    buffer = io.BytesIO()
    images = [*[b"x"] * 1000, *[random.Random(row).randbytes(5000) for row in range(4)]]
    with pq.ParquetWriter(buffer, pa.schema({"x": pa.binary()})) as writer:
        for part in (images[:1000], images[1000:]):
            writer.write_table(pa.table({"x": part}))
    table = open_table(io.BytesIO(buffer.getvalue()))
    found = list(row_batches(table, ["x"], RowRange(0, 1004), 400, 10_000))
    assert [part.rows if isinstance(part, Gap) else len(part) for part in found] == [*[166] * 6, 4, 1, 1, 1, 1]
