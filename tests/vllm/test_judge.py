"""The judge on Ray against vLLM itself, and what becomes of questions when engines fail."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ood_core.negfilter.questions import questions
from tests.vllm.asking import answered, asked, judge, said_directly

pytestmark = pytest.mark.usefixtures("ray_session")
MAX_MODEL_LEN = 100
LONG = questions([("a " * 99 + "word", None, None), ("hammer", "a " * 99 + "tool", 1)])


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return asked(150)


@pytest.fixture(scope="module")
def directly(tiny_llm: Path, table: pa.Table, ray_session: None) -> dict[int, tuple[str, float]]:
    return said_directly(tiny_llm, table)


@pytest.fixture(scope="module", params=["in-process", "processor"])
def found(
    request: pytest.FixtureRequest, tiny_llm: Path, table: pa.Table, ray_session: None
) -> dict[int, dict[str, Any]]:
    asking = judge(tiny_llm, engine=request.param, batch_size=64, max_model_len=MAX_MODEL_LEN)
    return answered(asking, [table.slice(0, 100), LONG, table.slice(100)])


def test_answers_are_those_of_vllm_asked_directly(
    found: dict[int, dict[str, Any]], directly: dict[int, tuple[str, float]]
) -> None:
    assert {answer for answer, _ in directly.values()} == {"yes", "no"}
    for question, (answer, probability) in directly.items():
        assert found[question]["answer"] == answer
        assert found[question]["probability_yes"] == pytest.approx(probability, abs=1e-5)
        assert found[question]["error"] is None


def test_a_question_without_room_for_an_answer_is_an_error(found: dict[int, dict[str, Any]]) -> None:
    for question in LONG["question"].to_pylist():
        assert found[question]["answer"] is found[question]["probability_yes"] is None
        assert f"no room for an answer with --judge-max-model-len {MAX_MODEL_LEN}" in found[question]["error"]


def test_two_engines_give_the_answers_of_vllm_as_they_come(
    tiny_llm: Path, table: pa.Table, directly: dict[int, tuple[str, float]]
) -> None:
    drawn = []

    def tables() -> Iterator[pa.Table]:
        for start in range(0, len(table), 50):
            drawn.append(start)
            yield table.slice(start, 50)

    stream = judge(tiny_llm, workers=2, batch_size=50).answers(tables())
    found = [next(stream)]
    assert len(drawn) < 8 < len(table) / 50
    found.extend(stream)
    rows = pa.concat_tables(found).to_pylist()
    assert {row["question"]: row["answer"] for row in rows} == {at: answer for at, (answer, _) in directly.items()}
    assert len(rows) == len(table)
