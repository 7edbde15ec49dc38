"""Answers in memory and on disk."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ood_core.negfilter.questions import ANSWERS, questions
from pipelines.errors import CallerError
from pipelines.judges.answers import Answers, AnswerStore
from pipelines.storage import Directory
from tests.pipelines.judges.rule_judge import RuleJudge

WORDS = ["cat", "Paris", "oak", "Rome", "sea"]


def answered(*rows: tuple[int, str | None, float | None, str | None]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(ANSWERS.names, row, strict=True)) for row in rows], schema=ANSWERS)


def asked(*words: str) -> pa.Table:
    return questions((word, None, None) for word in words)


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Directory:
    return Directory(str(tmp_path / "answers") if request.param == "local" else f"memory://{tmp_path}")


def test_answers_are_found_by_question_in_any_order() -> None:
    answers = Answers()
    answers.add(answered((7, "yes", 0.75, None), (-3, "no", None, None)))
    answers.add(answered((5, None, None, "too long")))
    assert answers.codes(np.array([5, -3, 7, 8])).tolist() == [-1, 0, 1, -1]
    assert answers.table(np.array([7, 5, -3])).to_pylist() == [
        {"question": 7, "answer": "yes", "probability_yes": 0.75, "error": None},
        {"question": 5, "answer": None, "probability_yes": None, "error": "too long"},
        {"question": -3, "answer": "no", "probability_yes": None, "error": None},
    ]


def test_of_two_answers_to_a_question_the_first_counts_and_an_answer_outdoes_an_error() -> None:
    answers = Answers()
    for rows in (answered((1, None, None, "busy")), answered((1, "no", 0.1, None)), answered((1, "yes", 0.9, None))):
        answers.add(rows)
    assert answers.table(np.array([1])).to_pylist() == [
        {"question": 1, "answer": "no", "probability_yes": 0.1, "error": None}
    ]


def test_without_answers_nothing_is_known() -> None:
    assert Answers().codes(np.array([1, 2])).tolist() == [-1, -1]
    assert Answers().codes(np.array([], np.int64)).tolist() == []


def test_what_was_kept_is_known_to_the_next_build_but_errors_are_not(folder: Directory) -> None:
    judge, store = RuleJudge(failing=frozenset({("oak", None)})), AnswerStore(folder)
    came = list(store.kept(judge, judge.answers([asked(*WORDS)])))
    assert [len(table) for table in came] == [5]
    ids = asked(*WORDS)["question"].to_numpy()
    assert store.read(judge).codes(ids).tolist() == [0, 1, -1, 1, 0]


def test_answers_of_another_model_or_to_another_wording_are_not_this_judges(folder: Directory) -> None:
    store = AnswerStore(folder)
    for judge in (RuleJudge(model="other"), RuleJudge(prompt_version="2")):
        list(store.kept(judge, judge.answers([asked("Paris")])))
    ids = asked("Paris")["question"].to_numpy()
    assert store.read(RuleJudge()).codes(ids).tolist() == [-1]
    assert store.read(RuleJudge(model="other")).codes(ids).tolist() == [1]


def test_what_was_answered_before_the_judge_failed_is_kept(folder: Directory) -> None:
    judge, store = RuleJudge(stops_at=3), AnswerStore(folder)
    blocks = [asked(word) for word in WORDS]
    with pytest.raises(RuntimeError, match="gone"):
        list(store.kept(judge, judge.answers(blocks)))
    ids = asked(*WORDS)["question"].to_numpy()
    assert store.read(judge).codes(ids).tolist() == [0, 1, 0, -1, -1]


def test_parts_are_written_while_answers_still_come(folder: Directory) -> None:
    judge = RuleJudge()
    coming = AnswerStore(folder, rows_a_part=2).kept(judge, judge.answers(asked(word) for word in WORDS))
    for _ in range(3):
        next(coming)
    assert len(folder.names()) == 1
    list(coming)
    assert len(folder.names()) == 3


def test_the_same_answers_are_the_same_part(folder: Directory) -> None:
    for _ in range(2):
        judge = RuleJudge()
        list(AnswerStore(folder).kept(judge, judge.answers([asked(*WORDS)])))
    assert len(folder.names()) == 1


MAYBE = pa.table({"question": [1], "answer": ["maybe"], "model": ["rule"], "prompt_version": ["1"]})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no Parquet", "Parquet"),
        (pa.table({"text": ["a"]}), "question"),
        (
            MAYBE.append_column("probability_yes", [[0.5]]).append_column("error", [[None]]),
            "it holds the answer 'maybe'",
        ),
    ],
    ids=["damaged", "another table", "another answer"],
)
def test_what_is_no_table_of_answers_is_named(folder: Directory, content: bytes | pa.Table, reason: str) -> None:
    if isinstance(content, pa.Table):
        buffer = pa.BufferOutputStream()
        pq.write_table(content, buffer)
        content = buffer.getvalue().to_pybytes()
    folder.put("part-1.parquet", content)
    with pytest.raises(CallerError, match=rf"--answers .*part-1\.parquet' is not a table of answers: .*{reason}"):
        AnswerStore(folder).read(RuleJudge())
