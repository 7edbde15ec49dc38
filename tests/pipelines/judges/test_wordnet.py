import pytest

from ood_core.negfilter.questions import ANSWERS, question_id, questions
from pipelines.judges.judge import Judge
from pipelines.judges.wordnet import WordNetJudge


@pytest.fixture(scope="module")
def judge() -> WordNetJudge:
    return WordNetJudge.load()


def test_it_is_a_judge_that_says_which_wordnet_and_which_rules(judge: WordNetJudge) -> None:
    assert isinstance(judge, Judge)
    assert (judge.model, judge.prompt_version) == ("wordnet-3.0", "commonest-sense-1")


def test_every_question_is_answered_in_order(judge: WordNetJudge) -> None:
    tables = [
        questions([("paris", None, None), ("aqueous pattern", None, None), ("poodle", None, None)]),
        questions([("poodle", "cat", 1), ("poodle", "dog", 2)]),
        questions([]),
    ]
    found = list(judge.answers(iter(tables)))
    assert [table.schema for table in found] == [ANSWERS] * 3
    assert [table["answer"].to_pylist() for table in found] == [["yes", "no", "no"], ["no", "yes"], []]
    assert found[1].to_pylist()[1] == {
        "question": question_id("poodle", "dog"), "answer": "yes", "probability_yes": None, "error": None,
    }  # fmt: skip
