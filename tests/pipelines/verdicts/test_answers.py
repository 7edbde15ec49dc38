"""What reviewers have answered, as it is read: every answer as it was given, or one line that says where it is none."""

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import CallerError
from pipelines.verdicts import answers
from pipelines.verdicts.answers import Answer, read_answers
from tests.pipelines.reports.questions.made_questions import CELLS

COLUMNS = ["shard", "index", "key", "verdict", "by", "at"]
HEAD = ",".join(COLUMNS)
WHEN = "2026-01-31T07:30:00.000Z"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(content: bytes | str, name: str = "a.csv") -> list[Answer]:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_answers(name, {})


def refused(content: bytes | str, name: str = "a.csv") -> str:
    with pytest.raises(CallerError) as error:
        read(content, name)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"--add '{name}'")
    return str(error.value)


def of_page(rows: list[list[str]]) -> str:
    """A file as the page writes it: cells in quotes where they need it, and CRLF."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerows([COLUMNS, *rows])
    return buffer.getvalue()


def parquet(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def test_what_the_page_saves_is_read_as_it_was_answered(place: Path) -> None:
    rows = [["s,1", "3", 'a "b"\n.jpg', "yes", "mara", WHEN], ["s", "12", "", "unsure", "", ""]]
    assert read(of_page(rows)) == [
        Answer("--add 'a.csv', line 3", "s,1", 3, 'a "b"\n.jpg', 1.0, "mara", datetime(2026, 1, 31, 7, 30, tzinfo=UTC)),
        Answer("--add 'a.csv', line 4", "s", 12, None, 0.5, "", None),
    ]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.sampled_from(
    [cell for cell in CELLS if cell]
)


@given(TEXTS, TEXTS, TEXTS, st.integers(-(2**63), 2**63), st.booleans())
def test_any_text_comes_through(
    tmp_path_factory: pytest.TempPathFactory, shard: str, key: str, by: str, index: int, with_bom: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(("\ufeff" * with_bom + of_page([[shard, str(index), key, "no", by, ""]])).encode())
    (found,) = read_answers(str(path), {})
    assert found[1:] == (shard, index, key, 0.0, by, None, None)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_blank_lines_bom_and_ends_of_lines_change_nothing(place: Path, bom: str, end: str) -> None:
    lines = ["", HEAD, "", "s,1,k,yes,mara,", "", "", "s,2,k,no,mara,", ""]
    found = read(bom + end.join(lines[1:] if end else lines))
    assert [(answer.index, answer.belongs) for answer in found] == [(1, 1.0), (2, 0.0)]
    assert [answer.where[-6:] for answer in found] == ["line 3", "line 6"]


def test_no_answers_are_none(place: Path) -> None:
    assert read("") == read("\r\n\r\n") == read(HEAD) == read("\ufeff") == read(f"{HEAD}\n\n") == []
    assert read(parquet(shard=pa.array([], pa.string()), index=pa.array([], pa.int64()))) == []


@pytest.mark.parametrize(
    ("word", "belongs"), [("yes", 1), ("Y", 1), (" No ", 0), ("n", 0), ("UNSURE", 0.5), ("u", 0.5)]
)
def test_words_of_verdicts(place: Path, word: str, belongs: float) -> None:
    (found,) = read(f"shard,index,verdict\ns,1,{word}")
    assert found.belongs == belongs


def test_a_number_counts_before_the_word(place: Path) -> None:
    found = read("shard,index,verdict,belongs\ns,1,yes,0.25\ns,2,yes,\ns,3,,1e-3\ns,4,, 1 ")
    assert [answer.belongs for answer in found] == [0.25, 1.0, 0.001, 1.0]


@pytest.mark.parametrize(
    ("said", "hour"),
    [(WHEN, 7), ("2026-01-31T07:30:00", 7), ("2026-01-31 08:30+01:00", 7), ("2026-01-30T22:30:00-09:00", 7)],
)
def test_times_are_in_utc(place: Path, said: str, hour: int) -> None:
    (found,) = read(f"shard,index,verdict,at\ns,1,yes,{said}")
    assert found.at == datetime(2026, 1, 31, hour, 30, tzinfo=UTC)


NAN = float("nan")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("s,1,k,yes,mara", "line 2: it has not as many cells as the first line"),
        ("s,1,k,yes,mara,,more", "line 2: it has not as many cells as the first line"),
        ("s,1,k,yes,mara,\ns", "line 3: it has not as many cells as the first line"),
        ('"s\n\n",1,k,yes,mara,\ns,1,k,maybe,mara,', "line 5: verdict is 'maybe'"),
        ("s,1,k,yes,mara,\ns,,k,yes,mara,", "line 3: index is missing"),
        (",1,k,yes,mara,", "line 2: shard is missing"),
        ("s,1.5,k,yes,mara,", "line 2: index is '1.5', not a number"),
        ("s,inf,k,yes,mara,", "line 2: index is 'inf', not a number"),
        (f"s,{'9' * 5000},k,yes,mara,", "line 2: index is '999"),
        ("s,1,k,,mara,", "line 2: there is neither verdict (yes, no, unsure) nor belongs (0 to 1)"),
        ('s,1,k,"ma\nybe",mara,', "line 3: verdict is 'ma\\nybe'"),
        ("s,1,k,yes,mara,noon", "line 2: at is 'noon', not a time such as"),
        ("s,1,k,yes,mara,0001-01-01T00:00:00+23:59", "line 2: at is '0001-01-01T00:00:00+23:59', not a time such as"),
        ("s,1,k,yes,mara,9999-12-31T23:59:00-23:59", "line 2: at is '9999-12-31T23:59:00-23:59', not a time such as"),
        ('s,1,k,yes,mara,"x', "line 2 is not CSV: unexpected end of data"),
        ('s,1,k,yes,mara,\ns,1,"k"k,yes,mara,', "line 3 is not CSV: "),
        (f"s,1,{'k' * 200_000},yes,mara,", "line 2 is not CSV: field larger than field limit"),
    ],
)
def test_every_mistake_names_its_line(place: Path, lines: str, said: str) -> None:
    assert f"--add 'a.csv', {said}" in refused(f"{HEAD}\n{lines}")


@pytest.mark.parametrize("value", ["1.5", "-0.1", "nan", "inf", "x", '"7\n"', '"x\ny"', "1e999"])
def test_numbers_that_are_no_probability_are_named(place: Path, value: str) -> None:
    assert ": belongs is " in refused(f"shard,index,belongs\ns,1,{value}")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "shift-jis", "utf-7"])
def test_other_encodings_are_refused_or_name_other_images(place: Path, encoding: str) -> None:
    content = f"{HEAD}\ns,1,ä–ü,yes,mara,\n" if encoding in ("cp1252", "utf-7") else f"{HEAD}\ns,1,Ä,yes,mara,\n"
    try:
        made = content.encode(encoding)
    except UnicodeEncodeError:
        made = f"{HEAD}\ns,1,あ,yes,mara,\n".encode(encoding)
    if encoding == "utf-7":
        assert read(made)[0].key != "ä–ü"
    else:
        assert refused(made)


def test_a_file_that_is_not_there_or_is_none_is_named(place: Path) -> None:
    (place / "folder").mkdir()
    for url in ("gone.csv", "folder", "folder/", "gone/", f"{place}/gone.csv", "https://u:secret@x.invalid/a.csv"):
        with pytest.raises(CallerError) as error:
            read_answers(url, {})
        assert "secret" not in str(error.value) and "\n" not in str(error.value)


def test_a_file_beyond_the_limit_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_BYTES", 20)
    assert "has 43 bytes; a file of answers has 20 at most" in refused(
        "shard,index,verdict\ns,1,yes\ns,2,yes\n".ljust(43)
    )


def test_tables_are_read_too(place: Path) -> None:
    when = datetime(2026, 1, 31, 7, 30, tzinfo=UTC)
    content = parquet(
        shard=["s", "t"], index=pa.array([1, 2], pa.int32()), key=["k", None], belongs=[0.25, 1.0], by=[None, "mara"],
        at=pa.array([when, None], pa.timestamp("us", "UTC")), embedding=[[1.0], [2.0]], mood=["good", "bad"],
    )  # fmt: skip
    assert read(content, "a.parquet") == [
        Answer("--add 'a.parquet', row 1", "s", 1, "k", 0.25, "", when),
        Answer("--add 'a.parquet', row 2", "t", 2, None, 1.0, "mara", None),
    ]


ONE: dict[str, Any] = {"shard": ["s"], "index": [1], "belongs": [1.0]}
WHOLE: dict[str, dict[str, Any]] = {
    "floats": {"index": [1.0]},
    "decimals": {"index": [Decimal(1)], "belongs": [Decimal("1.0")]},
    "words": {"belongs": [None], "verdict": ["yes"]},
    "large words": {"shard": pa.array(["s"], pa.large_string())},
    "dictionaries": {"shard": pa.array(["s"]).dictionary_encode()},
    "texts": {"index": ["1"], "belongs": ["1"]},
    "nanoseconds": {"at": pa.array([1_769_844_600_123_456_789], pa.timestamp("ns"))},
    "a date": {"at": pa.array([1], pa.date32())},
}


@pytest.mark.parametrize("name", WHOLE)
def test_tables_of_other_types_are_read(place: Path, name: str) -> None:
    (found,) = read(parquet(**ONE | WHOLE[name]), "a.parquet")
    assert (found.shard, found.index, found.belongs) == ("s", 1, 1.0)


UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "index is infinite": ({"index": [float("inf")]}, "row 1: index is inf, not a number"),
    "index is NaN": ({"index": [NAN]}, "row 1: index is nan, not a number"),
    "index is broken": ({"index": [1.5]}, "row 1: index is 1.5, not a number"),
    "index is a list": ({"index": [[1]]}, "row 1: index is [1], not a number"),
    "belongs is a list": ({"belongs": [[1]]}, "row 1: belongs is [1], not a number from 0 to 1"),
    "belongs is NaN": ({"belongs": [NAN]}, "row 1: belongs is nan, not from 0 to 1"),
    "belongs is beyond": ({"belongs": [7]}, "row 1: belongs is 7, not from 0 to 1"),
    "verdict is a number": ({"belongs": [None], "verdict": [1]}, "row 1: verdict is 1; it is yes, no or unsure"),
    "at is a number": ({"at": [7]}, "row 1: at is 7, not a time such as"),
    "at is a list": ({"at": [["x"]]}, "row 1: at is ['x'], not a time such as"),
    "at is beyond": ({"at": pa.array([2**62], pa.timestamp("us"))}, ""),
    "no text": ({"shard": pa.array([b"\xff"]).view(pa.string()) }, "cannot be read: "),
}  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_every_mistake_in_a_table_names_its_row(place: Path, name: str) -> None:
    columns, said = UNFIT[name]
    assert said in refused(parquet(**ONE | columns), "a.parquet")


def test_tables_with_a_column_twice_are_refused(place: Path) -> None:
    table = pa.table(ONE)
    pq.write_table(table.append_column("shard", table["shard"]), "twice.parquet")
    assert "has 2 columns 'shard'" in refused(Path("twice.parquet").read_bytes(), "b.parquet")


def test_csv_with_a_column_twice_is_refused(place: Path) -> None:
    assert "has 2 columns 'index'" in refused("shard,index,index,verdict\ns,1,2,yes")


def test_a_table_that_claims_more_rows_than_it_holds_is_refused_unread(place: Path) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"shard": pa.nulls(20_000_000, pa.string())}), buffer)
    assert "20000000 rows" in refused(buffer.getvalue(), "a.parquet")


CSV = of_page([["s", "1", 'a "b"\n', "yes", "mara", WHEN], ["s", "2", "", "no", "", ""]]).encode()
PARQUET = parquet(shard=["s", "t"], index=[1, 2], key=["k", None], verdict=["yes", "no"], at=[WHEN, None])


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="surrogatepass")))
def test_no_bytes_raise_anything_but_a_callers_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any-bytes"
    for before in (b"", f"{HEAD}\n".encode(), b"shard,index,belongs,at\ns,1,", b"PAR1"):
        path.write_bytes(before + content)
        read_or_refused(path)


@given(st.sampled_from([CSV, PARQUET]), st.integers(0, 2**32))
@settings(max_examples=300)
def test_damaged_files_raise_nothing_but_a_callers_error(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, seed: int
) -> None:
    path, draw, content = tmp_path_factory.getbasetemp() / "damaged", np.random.default_rng(seed), bytearray(whole)
    for start in draw.integers(len(content), size=draw.integers(1, 5)):
        content[start] = draw.integers(256)
    path.write_bytes(bytes(content[: len(content) if draw.random() < 0.8 else draw.integers(len(content))]))
    read_or_refused(path)


def read_or_refused(path: Path) -> None:
    try:
        found = read_answers(str(path), {})
    except CallerError as error:
        assert "\n" not in str(error)
        assert str(error).startswith(f"--add {str(path)!r}")
    else:
        assert all(0 <= answer.belongs <= 1 for answer in found)
