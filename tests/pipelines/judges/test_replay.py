import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ood_core.negfilter.questions import ANSWERS, QUESTIONS, question_id, questions
from pipelines.errors import CallerError
from pipelines.judges.judge import Judge
from pipelines.judges.replay import RECORDED, ReplayJudge
from tests.conftest import Storage

PARIS, POODLE, ADDAX = ("paris", None), ("poodle", "dog"), ("addax", "dog")
WHOSE = {"model": "tiny", "prompt_version": "negrefine-1"}


def row(asked: tuple[str, str | None], answer: str | None, **more: Any) -> dict[str, Any]:
    return {"question": question_id(*asked), "answer": answer, **WHOSE, **more}


def record(path: Path, *rows: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=RECORDED), path)
    return str(path)


def replayed(judge: ReplayJudge, *asked: tuple[str, str | None]) -> list[tuple[str | None, float | None, str | None]]:
    table = questions([(negative, label, None if label is None else 1) for negative, label in asked])
    (found,) = judge.answers([table])
    assert found.schema == ANSWERS
    assert found["question"].to_pylist() == [question_id(*question) for question in asked]
    return list(zip(*(found[name].to_pylist() for name in ("answer", "probability_yes", "error")), strict=True))


def test_answers_come_as_they_were_recorded(tmp_path: Path) -> None:
    recorded = record(
        tmp_path / "answers.parquet",
        row(PARIS, "yes", probability_yes=0.9),
        row(POODLE, "no"),
        row(ADDAX, None, error="timed out"),
    )
    judge = ReplayJudge.load(recorded, {})
    assert isinstance(judge, Judge)
    assert (judge.model, judge.prompt_version) == ("replay:tiny", "negrefine-1")
    assert replayed(judge, POODLE, ("paris", "dog"), PARIS, ADDAX, PARIS) == [
        ("no", None, None),
        (None, None, "not recorded"),
        ("yes", 0.9, None),
        (None, None, "timed out"),
        ("yes", 0.9, None),
    ]


def test_tables_are_answered_one_by_one(tmp_path: Path) -> None:
    judge = ReplayJudge.load(record(tmp_path / "answers.parquet", row(PARIS, "yes")), {})
    tables = [questions([("paris", None, None)]), QUESTIONS.empty_table(), questions([("rome", None, None)])]
    assert [table["answer"].to_pylist() for table in judge.answers(iter(tables))] == [["yes"], [], [None]]


def test_a_folder_is_read_whole_from_any_storage(tmp_path: Path, storage: Storage) -> None:
    record(tmp_path / "made" / "part-1.parquet", row(PARIS, "yes"))
    record(tmp_path / "made" / "part-2.parquet", row(POODLE, "no"))
    (tmp_path / "made" / "README.md").write_text("answers")
    url = storage.upload(tmp_path / "made", "recorded")
    judge = ReplayJudge.load(url, storage.options)
    assert [answer for answer, _, _ in replayed(judge, PARIS, POODLE)] == ["yes", "no"]


def test_the_first_answer_counts_and_an_error_is_none(tmp_path: Path) -> None:
    record(tmp_path / "part-1.parquet", row(PARIS, None, error="timed out"), row(POODLE, "no"))
    record(tmp_path / "part-2.parquet", row(PARIS, "yes"), row(POODLE, "yes"))
    assert replayed(ReplayJudge.load(str(tmp_path), {}), PARIS, POODLE) == [("yes", None, None), ("no", None, None)]


def test_a_table_of_nothing_but_answers_is_known_by_what_they_are(tmp_path: Path) -> None:
    names = []
    for file, answer in (("a.parquet", "yes"), ("b.parquet", "no"), ("c.parquet", "yes")):
        ids = pa.array([question_id(*PARIS)], pa.int64())
        pq.write_table(pa.table({"answer": pa.array([answer]).dictionary_encode(), "question": ids}), tmp_path / file)
        judge = ReplayJudge.load(str(tmp_path / file), {})
        assert replayed(judge, PARIS) == [(answer, None, None)]
        assert judge.prompt_version == "unknown"
        names.append(judge.model)
    assert names[0].startswith("replay:recording-")
    assert names[0] == names[2] != names[1]


def test_a_recording_without_rows_answers_nothing(tmp_path: Path) -> None:
    judge = ReplayJudge.load(record(tmp_path / "answers.parquet"), {})
    assert replayed(judge, PARIS) == [(None, None, "not recorded")]


@pytest.mark.parametrize("name", ["llm_process.txt", "llm_process.txt.gz"])
def test_negrefines_log_is_a_recording(tmp_path: Path, name: str) -> None:
    log = b"poodle | dog | subcategory \nparis | proper noun \n---------\nn_proper: 1\n"
    (tmp_path / name).write_bytes(gzip.compress(log, mtime=0) if name.endswith(".gz") else log)
    judge = ReplayJudge.load(str(tmp_path / name), {})
    assert replayed(judge, POODLE, ("poodle", None), PARIS, ("paris", "dog")) == [
        ("yes", None, None),
        ("no", None, None),
        ("yes", None, None),
        (None, None, "not recorded"),
    ]
    assert (judge.model, judge.prompt_version) == ("replay:recording-3651b813", "negrefine-0")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("gone.parquet", None, "cannot be read: it does not exist"),
        ("answers.parquet", b"PAR1", "is not a recording of answers: answers.parquet: "),
        ("log.txt", b"poodle, dog, yes\n", "is not a recording of answers: log.txt: line 1 is not of NegRefine's log"),
        ("log.txt", b"\xff\xfe | proper noun\n", "is not a recording of answers: log.txt: .*utf-8"),
        (
            "log.txt.gz",
            gzip.compress(b"poodle | dog | \n" * 99, mtime=0)[:-9],
            "is not a recording of answers: log.txt.gz: ",
        ),
    ],
)
def test_a_recording_that_cannot_be_read_is_named(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CallerError, match=f"^--judge-recorded '{tmp_path / name}' {reason}"):
        ReplayJudge.load(str(tmp_path / name), {})


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"question": [1]}, "it has no column 'answer'"),
        ({"answer": ["yes"]}, "it has no column 'question'"),
        ({"question": [1], "answer": ["maybe"]}, "an answer must be yes, no or null, not 'maybe'"),
        ({"question": [None], "answer": ["yes"]}, "a question must not be null"),
        ({"question": ["paris"], "answer": ["yes"]}, "Failed to parse string: 'paris'"),
    ],
)
def test_a_table_of_something_else_is_named(tmp_path: Path, columns: dict[str, list[Any]], reason: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "answers.parquet")
    with pytest.raises(CallerError, match=f"is not a recording of answers: answers.parquet: {reason}"):
        ReplayJudge.load(str(tmp_path), {})


def test_answers_of_two_models_are_refused(tmp_path: Path) -> None:
    record(tmp_path / "part-1.parquet", row(PARIS, "yes"))
    record(tmp_path / "part-2.parquet", row(POODLE, "yes", model="large"))
    with pytest.raises(CallerError, match="it holds answers of more than one model: large, tiny$"):
        ReplayJudge.load(str(tmp_path), {})


def test_a_folder_without_tables_is_named(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match=f"^--judge-recorded '{tmp_path}' holds no .parquet file"):
        ReplayJudge.load(str(tmp_path), {})
