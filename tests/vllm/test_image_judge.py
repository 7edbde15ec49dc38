"""The judge of images on Ray against vLLM itself, when an engine is killed, and with a model without vision."""

from pathlib import Path

import pyarrow as pa
import pytest

from ood_core.image_questions import WORDS, described, image_questions
from pipelines.config.image_judges import ImageVllm
from pipelines.errors import CallerError
from pipelines.judges.answers import AnswerStore
from pipelines.judges.image_judge import ImageJudge, judged, open_image_judge
from pipelines.storage import Directory
from tests.pipelines.judges.pictures import picture
from tests.vllm.pictures import asked, said_directly
from tests.vllm.test_engines_die import living

pytestmark = pytest.mark.usefixtures("ray_session")
PICTURES, MAX_MODEL_LEN = 12, 1024


@pytest.fixture(scope="module")
def judge(tiny_vlm: Path, ray_session: None) -> ImageJudge:
    """With one engine for all tests."""
    config = ImageVllm(
        model=str(tiny_vlm), dtype="float32", max_model_len=MAX_MODEL_LEN, batch_size=8, describe=True, attempts=2
    )
    found = open_image_judge(config, {})
    assert found is not None
    return found


def test_answers_and_descriptions_are_those_of_vllm_asked_directly(
    judge: ImageJudge, tiny_vlm: Path, tmp_path: Path
) -> None:
    table, store = asked(PICTURES), AnswerStore(Directory(str(tmp_path)))
    found = judged(judge, store, [table.slice(0, 5), table.slice(5)]).to_pylist()
    directly = said_directly(tiny_vlm, table)
    assert {answer for answer, *_ in directly} == {"yes", "no"}
    for row, (answer, probability, text) in zip(found, directly, strict=True):
        assert (row["answer"], row["error"]) == (answer, None)
        assert row["probability_yes"] == pytest.approx(probability, abs=1e-4)
        assert row["description"] == described(text) and len(row["description"].split()) <= WORDS
    lines: list[str] = []
    again = judged(ImageJudge(judge.judge, describe=True, say=lines.append), store, [table]).to_pylist()
    assert again == found and lines == [
        f"{2 * PICTURES} questions, {2 * PICTURES} answered already, 0 to {judge.judge.model}"
    ]


def test_a_question_longer_than_the_context_is_an_error_and_the_rest_is_answered(judge: ImageJudge) -> None:
    long = image_questions([(picture("red"), ["a " * 50] * 30)])
    found = judged(ImageJudge(judge.judge), None, [asked(3), long]).to_pylist()
    assert [row["answer"] is None for row in found] == [False, False, False, True]
    assert str(MAX_MODEL_LEN) in found[3]["error"]


def test_an_engine_killed_mid_run_is_replaced_and_nothing_is_lost(judge: ImageJudge) -> None:
    table = asked(40, start=100)
    stream = judge.judge.answers([table])
    tables = [next(stream)]
    killed = living("ray::Engine")
    killed.kill()
    tables.extend(stream)
    rows = pa.concat_tables(tables)
    assert sorted(rows["question"].to_pylist()) == sorted(table["question"].to_pylist())
    assert rows["answer"].null_count == 0
    assert living("ray::Engine").pid != killed.pid


def test_a_model_without_vision_is_refused_before_any_work(tiny_llm: Path) -> None:
    with pytest.raises(
        CallerError, match=r"^--image-judge-model '.*' cannot judge: it takes no pictures; a vision-lan"
    ):
        open_image_judge(ImageVllm(model=str(tiny_llm)), {})


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match=r"^--image-judge-model '.*gone': no such directory"):
        open_image_judge(ImageVllm(model=str(tmp_path / "gone")), {})
    with pytest.raises(CallerError, match=r"^--image-judge-model '.*' cannot be loaded: "):
        open_image_judge(ImageVllm(model=str(tmp_path)), {})
