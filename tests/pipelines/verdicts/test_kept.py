"""Verdicts as a scan keeps them: the same whatever the order of files and rows, and nothing is kept twice."""

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import CallerError
from pipelines.storage import Directory
from pipelines.verdicts.kept import Verdicts, keep, kept_verdicts
from tests.pipelines.verdicts.made_verdicts import DIM, image, said, table, verdicts

ROWS = st.lists(
    st.builds(
        said,
        st.integers(0, 5),
        st.sampled_from([0.0, 0.5, 1.0]),
        st.sampled_from(["mara", "joe", None]),
        st.one_of(st.none(), st.integers(0, 3)),
    ),
    max_size=12,
)


def of(*tables: pa.Table) -> Verdicts:
    return Verdicts.of(tables, DIM, "the answers")


def on_disk(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (place / "verdicts").glob("*")}


@given(ROWS, st.integers(0, 12), st.integers(0, 2**32))
def test_neither_the_order_nor_repetition_changes_anything(rows: list[dict], cut: int, seed: int) -> None:
    whole, mixed = of(table(rows)), rows + rows[:3]
    random.Random(seed).shuffle(mixed)
    found = of(table(mixed[cut:]), table(mixed[:cut]))
    assert found.table.equals(whole.table)
    assert found.digest == whole.digest
    assert of(whole.table).table.equals(whole.table)


@given(ROWS)
def test_each_judge_counts_once_for_an_image_with_what_was_said_last(rows: list[dict]) -> None:
    last: dict[tuple, dict] = {}
    for row in sorted(rows, key=lambda row: (row["at"] is not None, row["at"], row["belongs"])):
        last[row["index"], row["by"]] = row
    found = {(row["index"], row["by"]): row["belongs"] for row in of(table(rows)).table.to_pylist()}
    assert found == {place: row["belongs"] for place, row in last.items()}


def test_nobody_and_a_judge_without_a_name_are_the_same() -> None:
    found = verdicts(said(1, 0.0, None, 1), said(1, 1.0, "", 2))
    assert found.belongs.tolist() == [1.0]


@given(ROWS, ROWS, st.integers(0, 2**32))
@settings(max_examples=25)
def test_what_is_kept_in_parts_is_what_is_kept_at_once(
    tmp_path_factory: pytest.TempPathFactory, first: list[dict], then: list[dict], seed: int
) -> None:
    place = tmp_path_factory.mktemp("kept")
    scan, other = Directory(str(place)), Directory(str(place / "other"))
    keep(scan, verdicts(*first))
    both = keep(scan, verdicts(*then))
    assert both.table.equals(kept_verdicts(scan, DIM).table)
    mixed = [*first, *then]
    random.Random(seed).shuffle(mixed)
    assert keep(other, verdicts(*mixed)).table.equals(both.table)
    before = on_disk(place)
    for rows in (first, then, mixed, []):
        assert keep(scan, verdicts(*rows)).digest == both.digest
    assert on_disk(place) == before


def test_keeping_nothing_makes_no_folder(tmp_path: Path) -> None:
    scan = Directory(str(tmp_path))
    assert len(keep(scan, verdicts())) == len(kept_verdicts(scan, DIM)) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_part_holds_what_is_new_alone_and_is_named_after_it(tmp_path: Path) -> None:
    scan = Directory(str(tmp_path))
    keep(scan, verdicts(said(1), said(2), weights="one"))
    first = on_disk(tmp_path)
    keep(scan, verdicts(said(2), said(3), weights="one"))
    (added,) = set(on_disk(tmp_path)) - set(first)
    assert pq.read_table(tmp_path / "verdicts" / added)["index"].to_pylist() == [3]
    assert kept_verdicts(scan, DIM).weights == "one"
    (tmp_path / "again").mkdir()
    keep(Directory(str(tmp_path / "again")), verdicts(said(1), said(2), weights="one"))
    assert on_disk(tmp_path / "again") == first


def test_files_of_other_names_are_no_verdicts(tmp_path: Path) -> None:
    keep(Directory(str(tmp_path)), verdicts(said(1)))
    (tmp_path / "verdicts/notes.txt").write_text("x")
    (tmp_path / "verdicts/.part-1.parquet.0123abcd.tmp").write_bytes(b"PAR1")
    (tmp_path / "verdicts/answers").mkdir()
    assert len(kept_verdicts(Directory(str(tmp_path)), DIM)) == 1


CHANGES: dict[str, tuple[dict[str, Any], bool]] = {
    "what was said": ({"belongs": 0.25}, True),
    "by whom": ({"by": "joe"}, True),
    "the embedding": ({"embedding": image(6)}, True),
    "the order": ({"minute": 9}, True),
    "the key": ({"key": "other.jpg"}, False),
    "no key": ({"key": None}, False),
    "the time": ({"minute": 1}, False),
    "the place": ({"shard": "b", "index": 7}, False),
    "the description": ({"description": "a cat"}, False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_digest_changes_with_what_scores_depend_on_and_nothing_else(name: str) -> None:
    changes, counts = CHANGES[name]
    before = verdicts(said(1, minute=0), said(2, minute=5))
    after = verdicts(said(1, **{"minute": 0, **changes}), said(2, minute=5))
    assert (after.digest != before.digest) == counts
    assert verdicts(said(1, minute=0), said(2, minute=5), weights="one").digest == before.digest


ONE = said(1, 0.25, "joe", 7, description="a dog")
FULL = table([ONE])


def replaced(name: str, values: Any) -> pa.Table:
    return FULL.set_column(FULL.column_names.index(name), name, values)


def embeddings(values: Any, kind: pa.DataType) -> pa.Table:
    return replaced("embedding", pa.array([values], kind))


VECTOR = image(1)
FITTING: dict[str, pa.Table] = {
    **{
        f"{kind} of {number}": embeddings(np.array(VECTOR, number.to_pandas_dtype()), make(number))
        for kind, make in {
            "list": pa.list_, "large list": pa.large_list, "fixed list": lambda number: pa.list_(number, DIM)
        }.items()
        for number in (pa.float16(), pa.float32(), pa.float64())
    },
    "whole numbers": embeddings([int(value) for value in VECTOR], pa.list_(pa.int8())),
    "belongs in single precision": replaced("belongs", pa.array([0.25], pa.float32())),
    "words in a dictionary": replaced("by", pa.array(["joe"]).dictionary_encode()),
    "large words": replaced("key", pa.array(["1.jpg"], pa.large_string())),
    "small numbers": replaced("index", pa.array([1], pa.uint8())),
    "milliseconds": replaced("at", FULL["at"].cast(pa.timestamp("ms", "UTC"))),
    "nanoseconds": replaced("at", FULL["at"].cast(pa.timestamp("ns", "UTC"))),
    "another time zone": replaced("at", FULL["at"].cast(pa.timestamp("us", "Asia/Tokyo"))),
    "further columns": FULL.append_column("mood", pa.array(["good"])),
    "another order": FULL.select(FULL.column_names[::-1]),
}  # fmt: skip


@pytest.mark.parametrize("name", FITTING)
def test_tables_that_others_write_are_read(name: str) -> None:
    found = of(FITTING[name])
    assert found.table.to_pylist() == of(FULL).table.to_pylist()
    assert found.digest == of(FULL).digest


def test_belongs_and_embedding_are_enough() -> None:
    found = of(FULL.select(["embedding", "belongs"]))
    assert found.belongs.tolist() == [0.25]
    assert found.embeddings.tolist() == [VECTOR]
    rest = found.table.drop_columns(["embedding", "belongs"]).to_pylist()
    assert rest == [dict.fromkeys(("key", "shard", "index", "by", "at", "description"))]
    assert of(found.table.replace_schema_metadata(None)).digest == found.digest


def two(values: list[Any], kind: pa.DataType | None = None) -> pa.Table:
    """A table of two verdicts with these embeddings."""
    return pa.table({"belongs": [1.0, 0.0], "embedding": pa.array(values, kind or pa.list_(pa.float32()))})


NOT_UTF8 = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
UNFIT: dict[str, tuple[pa.Table, str]] = {
    "no belongs": (FULL.drop_columns("belongs"), "it has no column belongs"),
    "no embedding": (FULL.drop_columns("embedding"), "it has no column embedding"),
    "belongs twice": (FULL.append_column("belongs", FULL["belongs"]), "is no table of verdicts"),
    "embedding twice": (FULL.append_column("embedding", FULL["embedding"]), "is no table of verdicts"),
    "by twice": (FULL.append_column("by", FULL["by"]), "is no table of verdicts"),
    "words as embeddings": (replaced("embedding", pa.array(["x"])), "is no table of verdicts"),
    "numbers as embeddings": (replaced("embedding", pa.array([1.0])), "is no table of verdicts"),
    "bytes as embeddings": (replaced("embedding", pa.array([b"x"])), "is no table of verdicts"),
    "structs as embeddings": (replaced("embedding", pa.array([{"a": 1.0}])), "is no table of verdicts"),
    "lists of words": (embeddings(["x"] * DIM, pa.list_(pa.string())), "is no table of verdicts"),
    "lists of times": (embeddings([0] * DIM, pa.list_(pa.timestamp("us"))), ""),
    "lists of lists": (embeddings([[1.0]] * DIM, pa.list_(pa.list_(pa.float32()))), "is no table of verdicts"),
    "a null embedding": (replaced("embedding", pa.nulls(1, pa.list_(pa.float16(), DIM))), "not every verdict has"),
    "nulls only": (replaced("embedding", pa.nulls(1)), ""),
    "null in an embedding": (embeddings([None, 1.0, 0.0, 0.0], pa.list_(pa.float32())), "whose length is not 1"),
    "NaN": (embeddings([np.nan] * DIM, pa.list_(pa.float32())), "whose length is not 1"),
    "infinite": (embeddings([np.inf, 0, 0, 0], pa.list_(pa.float64())), "whose length is not 1"),
    "huge": (embeddings([1e300, 0, 0, 0], pa.list_(pa.float64())), "whose length is not 1"),
    "too long": (embeddings([1.1, 0, 0, 0], pa.list_(pa.float64())), "whose length is not 1"),
    "nothing": (embeddings([0.0] * DIM, pa.list_(pa.float64())), "whose length is not 1"),
    "another dimension": (embeddings([1.0, 0.0], pa.list_(pa.float64())), ""),
    "another fixed dimension": (embeddings([1.0, 0.0], pa.list_(pa.float64(), 2)), "an embedding of 4 numbers"),
    "empty lists": (embeddings([], pa.list_(pa.float64())), "an embedding of 4 numbers"),
    "fixed empty lists": (embeddings([], pa.list_(pa.float64(), 0)), ""),
    "lengths that come to as many numbers": (two([[1.0, 0, 0], [0, 0, 1.0, 0, 0]]), "an embedding of 4 numbers"),
    "a null and one of twice the length": (two([None, [1.0, 0, 0, 0, 0, 1.0, 0, 0]]), "an embedding of 4 numbers"),
    "belongs above 1": (replaced("belongs", pa.array([1.5])), "row 1: belongs is 1.5, not from 0 to 1"),
    "belongs below 0": (replaced("belongs", pa.array([-1])), "row 1: belongs is -1.0, not from 0 to 1"),
    "belongs is null": (replaced("belongs", pa.array([None], pa.float64())), "row 1: belongs is nan, not from 0 to 1"),
    "belongs is NaN": (replaced("belongs", pa.array([np.nan])), "row 1: belongs is nan, not from 0 to 1"),
    "belongs is a word": (replaced("belongs", pa.array(["yes\nno"])), "is no table of verdicts: Failed to parse"),
    "belongs is a list": (replaced("belongs", pa.array([[1.0]])), "is no table of verdicts"),
    "by is a list": (replaced("by", pa.array([["joe"]])), "is no table of verdicts"),
    "by is no text": (replaced("by", NOT_UTF8), "is no table of verdicts"),
    "index is beyond": (replaced("index", pa.array([2**63], pa.uint64())), "is no table of verdicts"),
    "at is a word": (replaced("at", pa.array(["noon"])), "is no table of verdicts"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_table_that_is_none_of_verdicts_is_refused_in_one_line(name: str) -> None:
    unfit, expected = UNFIT[name]
    with pytest.raises(CallerError, match="^the answers") as error:
        of(FULL, unfit)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_embeddings_of_two_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="the answers holds verdicts with embeddings of two models, one… and two…"):
        of(table([said(1)], "two"), table([said(2)], "one"))
    scan = Directory(str(tmp_path))
    keep(scan, verdicts(said(1), weights="one"))
    before = on_disk(tmp_path)
    with pytest.raises(CallerError, match="holds verdicts on embeddings by another model: its weights are one…"):
        keep(scan, verdicts(said(2), weights="two"))
    assert on_disk(tmp_path) == before
    assert keep(scan, verdicts(said(2))).weights == "one"
    assert len(kept_verdicts(scan, DIM)) == 2


def test_weights_that_are_no_text_are_refused() -> None:
    odd = FULL.replace_schema_metadata({b"oodscan.weights": b"\xff"})
    with pytest.raises(CallerError, match="two models"):
        of(odd, table([said(2)], "one"))


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "garbage": lambda path: path.write_bytes(np.random.default_rng(0).bytes(500)),
    "no table of verdicts": lambda path: pq.write_table(pa.table({"a": [1]}), path),
    "another dimension": lambda path: pq.write_table(embeddings([1.0, 0.0], pa.list_(pa.float16(), 2)), path),
    "words as embeddings": lambda path: pq.write_table(replaced("embedding", pa.array(["x"])), path),
    "not of unit length": lambda path: pq.write_table(embeddings([1.0] * DIM, pa.list_(pa.float16(), DIM)), path),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    scan = Directory(str(tmp_path))
    keep(scan, verdicts(said(1)))
    keep(scan, verdicts(said(2)))
    path = sorted((tmp_path / "verdicts").iterdir())[0]
    DAMAGES[name](path)
    for refused in (lambda: kept_verdicts(scan, DIM), lambda: keep(scan, verdicts(said(3)))):
        with pytest.raises(CallerError) as error:
            refused()
        assert f"verdicts/{path.name}" in str(error.value)
        assert "\n" not in str(error.value)


@given(st.integers(0, 2**32))
@settings(max_examples=200)
def test_whatever_bytes_lie_there_only_a_callers_error_is_raised(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    place, draw = tmp_path_factory.getbasetemp() / "bytes", np.random.default_rng(seed)
    buffer = io.BytesIO()
    pq.write_table(table([said(1), said(2, by=None)], "one"), buffer)
    content = bytearray(buffer.getvalue())
    for start in draw.integers(len(content), size=draw.integers(1, 4)):
        content[start] = draw.integers(256)
    (place / "verdicts").mkdir(parents=True, exist_ok=True)
    (place / "verdicts/part-1.parquet").write_bytes(content)
    try:
        found = kept_verdicts(Directory(str(place)), DIM)
    except CallerError as error:
        assert "part-1.parquet" in str(error) or "two models" in str(error)
    else:
        assert all(0 <= belongs <= 1 for belongs in found.belongs)
