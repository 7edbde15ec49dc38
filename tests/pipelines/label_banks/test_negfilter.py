"""The filter of negative labels with a judge that counts what it is asked, and the tables that it leaves."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ood_core.negfilter.decisions import DECISIONS
from ood_core.vocabulary import Part
from pipelines.judges.answers import AnswerStore
from pipelines.label_banks import judge_tables as judged_files
from pipelines.label_banks.negfilter import QUESTIONS_AT_ONCE, CandidateLabels, NegFilter
from pipelines.storage import Directory
from tests.pipelines.judges.rule_judge import Question, RuleJudge, yes

IDS = ["cat", "dog", "owl"]
TEXTS = ["Paris", "house cat", "snow owl", "sea", "DOG", "Rome cat", "oak"]
NEAREST = np.array([[0, 1], [1, 0], [2, 1], [0, 2], [0, 1], [0, 1], [1, 2]], np.int32)
DECIDED = ["proper-noun", "subcategory", "subcategory", "kept", "proper-noun", "proper-noun", "kept"]
ASKED: list[Question] = [
    *((text, None) for text in TEXTS),
    *(("house cat", label) for label in ("dog", "cat")),
    *(("snow owl", label) for label in ("owl", "dog")),
    *(("sea", label) for label in ("cat", "owl")),
    *(("oak", label) for label in ("dog", "owl")),
]


def filter_of(texts: list[str], ids: list[str] = IDS, nearest: np.ndarray = NEAREST) -> NegFilter:
    parts: list[Part] = ["noun" for _ in texts]
    return NegFilter(CandidateLabels(texts, texts, parts, np.arange(len(texts)) / 10), ids, nearest[: len(texts)])


def names(asked: NegFilter) -> list[str]:
    return [DECISIONS[code] for code in asked.decisions().decision]


def test_names_are_asked_about_first_and_of_the_rest_every_nearest_label_together() -> None:
    judge, asked = RuleJudge(), filter_of(TEXTS)
    asked.ask(judge)
    assert judge.asked == ASKED
    assert names(asked) == DECIDED
    assert asked.decisions().rank.tolist() == [0, 2, 1, 0, 0, 0, 0]


def test_what_is_an_id_label_itself_goes_without_a_question() -> None:
    judge, asked = RuleJudge(), filter_of(["dOG"], nearest=np.array([[2, 1]]))
    asked.ask(judge)
    assert judge.asked == [("dOG", None), ("dOG", "owl")]
    assert (names(asked), asked.decisions().rank.tolist()) == (["same"], [2])


def test_a_question_without_an_answer_leaves_its_label_unjudged_and_the_others_as_they_are() -> None:
    failing = frozenset[Question]({("sea", "owl"), ("oak", None), ("house cat", "dog")})
    asked = filter_of(TEXTS)
    asked.ask(RuleJudge(failing=failing))
    expected = [*DECIDED]
    expected[3] = expected[6] = "unjudged"  # of a house cat the yes is enough
    assert names(asked) == expected


def test_a_text_that_comes_twice_is_asked_about_once() -> None:
    judge, asked = RuleJudge(), filter_of(["sea", "sea"], nearest=np.array([[0, 1], [1, 0]]))
    asked.ask(judge)
    assert judge.asked == [("sea", None), ("sea", "cat"), ("sea", "dog")]
    assert names(asked) == ["kept", "kept"]


def test_the_next_build_asks_only_what_is_new(tmp_path: Path) -> None:
    store = AnswerStore(Directory(str(tmp_path)))
    first, again, more = RuleJudge(), RuleJudge(), RuleJudge()
    for judge, ids, nearest in (
        (first, IDS, NEAREST),
        (again, IDS, NEAREST),
        (more, [*IDS, "cow"], np.where(NEAREST == 2, 3, NEAREST)),
    ):
        asked = filter_of(TEXTS, ids, nearest)
        asked = NegFilter(asked.candidates, asked.ids, asked.nearest, store.read(judge))
        asked.ask(judge, store)
    assert first.asked == ASKED
    assert again.asked == []
    assert more.asked == [("snow owl", "cow"), ("sea", "cow"), ("oak", "cow")]


@pytest.mark.parametrize("stops_at", [0, 3, 9])
def test_a_build_that_broke_off_goes_on_where_it_was(stops_at: int, tmp_path: Path) -> None:
    store, broken, next_one = AnswerStore(Directory(str(tmp_path))), RuleJudge(stops_at=stops_at), RuleJudge()
    with pytest.raises(RuntimeError, match="gone"):
        filter_of(TEXTS).ask(broken, store)
    asked = filter_of(TEXTS)
    asked = NegFilter(asked.candidates, asked.ids, asked.nearest, store.read(next_one))
    asked.ask(next_one, store)
    assert names(asked) == DECIDED
    assert set(next_one.asked) == set(ASKED) - set(broken.asked[: 7 if stops_at == 9 else 0])


def test_a_judge_that_loses_a_question_is_a_crash() -> None:
    class Forgetful(RuleJudge):
        def answers(self, questions):
            return (table.slice(1) for table in super().answers(questions))

    with pytest.raises(RuntimeError, match="rule was asked 7 questions and gave 6 answers"):
        filter_of(TEXTS).ask(Forgetful())


def test_cleaning_keeps_letters_hyphens_underscores_and_spaces_and_the_first_of_equal_words() -> None:
    spelled = ["bird's nest", "birds nest", "x9", "y2k bug", "a_b-c", "birds nest"]
    parts: list[Part] = ["noun", "noun", "noun", "noun", "noun", "adjective"]
    given = CandidateLabels(spelled, spelled, parts, np.arange(6.0))
    found = given.cleaned()
    assert found.texts == ["birds nest", "yk bug", "a_b-c", "birds nest"]
    assert found.spelled == ["bird's nest", "y2k bug", "a_b-c", "birds nest"]
    assert found.parts == ["noun", "noun", "noun", "adjective"]
    assert found.scores.tolist() == [0, 3, 4, 5]


def test_the_tables_say_what_was_asked_answered_and_decided(tmp_path: Path) -> None:
    judge, asked = RuleJudge(failing=frozenset({("sea", "owl")})), filter_of(TEXTS)
    asked.ask(judge)
    decided = asked.decisions()
    judged_files.write(Directory(str(tmp_path)), asked, judge, decided)
    questions, answers, decisions = (
        pq.read_table(tmp_path / f"{name}.parquet") for name in ("questions", "answers", "decisions")
    )
    assert questions.slice(0, 4).drop_columns("question").to_pylist() == [
        {"kind": "proper-noun", "negative": "Paris", "id_label": None, "rank": None},
        {"kind": "proper-noun", "negative": "house cat", "id_label": None, "rank": None},
        {"kind": "subcategory", "negative": "house cat", "id_label": "dog", "rank": 1},
        {"kind": "subcategory", "negative": "house cat", "id_label": "cat", "rank": 2},
    ]
    assert answers["question"].to_pylist() == questions["question"].to_pylist()
    for question, answer in zip(questions.to_pylist(), answers.to_pylist(), strict=True):
        asked_for = question["negative"], question["id_label"]
        failed = asked_for == ("sea", "owl")
        assert answer == {
            "question": question["question"],
            "answer": None if failed else ("no", "yes")[yes(*asked_for)],
            "probability_yes": None if failed else 0.25,
            "error": "no idea" if failed else None,
            "model": "rule",
            "prompt_version": "1",
        }
    assert decisions.slice(1, 1).to_pylist() == [
        {
            "negative": "house cat",
            "spelled": "house cat",
            "part": "noun",
            "selection_score": 0.1,
            "decision": "subcategory",
            "id_label": "cat",
        }
    ]
    assert judged_files.counts(asked, decided) == {
        "judged_kept_noun": 1,
        "judged_proper_noun_noun": 3,
        "judged_subcategory_noun": 2,
        "judged_unjudged_noun": 1,
    }


def test_more_questions_than_are_asked_at_once_are_all_asked_and_written(tmp_path: Path) -> None:
    count = QUESTIONS_AT_ONCE + 3
    texts = [f"{'Name' if row % 3 == 0 else 'word'} {row}" for row in range(count)]
    nearest = np.tile(np.array([[1, 2]], np.int32), (count, 1))
    judge, asked = RuleJudge(), filter_of(texts, nearest=nearest)
    asked.ask(judge)
    judged_files.write(Directory(str(tmp_path)), asked, judge, asked.decisions())
    names_of_texts = sum(text[0] == "N" for text in texts)
    assert len(judge.asked) == len(set(judge.asked)) == count + 2 * (count - names_of_texts)
    table = pq.read_table(tmp_path / "questions.parquet")
    rows = list(zip(table["negative"].to_pylist(), table["id_label"].to_pylist(), strict=True))
    assert sorted(rows, key=str) == sorted(judge.asked, key=str)
    assert rows[:5] == [("Name 0", None), ("word 1", None), ("word 1", "dog"), ("word 1", "owl"), ("word 2", None)]
