from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ood_core.image_questions import IMAGE_ANSWERS, IMAGE_QUESTIONS, image_question_id
from pipelines.config.image_judges import ImageHttp, ImageReplay, ImageVllm, NoImageJudge
from pipelines.errors import CallerError
from pipelines.judges.answers import KEPT, AnswerStore
from pipelines.judges.image_judge import ImageJudge, image_answer_store, judged, open_image_judge
from pipelines.storage import Directory
from tests.pipelines.judges.pictures import ColourJudge, asked, picture


@pytest.fixture
def folder(tmp_path: Path) -> Directory:
    return Directory(str(tmp_path / "answers"))


def said(table: pa.Table) -> list[tuple[Any, ...]]:
    """Answer, probability, description and error of each row."""
    assert table.schema == IMAGE_ANSWERS
    return list(zip(*(table[name].to_pylist() for name in IMAGE_ANSWERS.names[1:]), strict=True))


def test_every_question_has_its_row_in_order_whatever_the_order_of_the_answers() -> None:
    tables = [asked(["red", "green"]), asked([]), asked(["blue", "red"], ["green"])]
    found = judged(ImageJudge(ColourJudge()), None, tables)
    assert found["question"].to_pylist() == pa.concat_tables(tables)["question"].to_pylist()
    yes, no = ("yes", 0.75, None, None), ("no", 0.25, None, None)
    assert said(found) == [yes, no, no, no]


def test_a_question_that_comes_twice_is_asked_once() -> None:
    judge = ColourJudge()
    found = judged(ImageJudge(judge), None, [asked(["red", "red"]), asked(["red"])])
    assert len(found) == 3 and judge.asked == [("red", False)]


def test_without_questions_there_are_no_answers() -> None:
    judge = ColourJudge()
    assert judged(ImageJudge(judge), None, []).num_rows == 0
    assert judged(ImageJudge(judge), None, [IMAGE_QUESTIONS.empty_table()]).schema == IMAGE_ANSWERS
    assert judge.asked == []


def test_what_was_answered_is_never_asked_again(folder: Directory) -> None:
    store, first, second = AnswerStore(folder), ColourJudge(), ColourJudge()
    judged(ImageJudge(first), store, [asked(["red", "green"])])
    lines: list[str] = []
    found = judged(ImageJudge(second, say=lines.append), store, [asked(["green", "blue", "red"])])
    assert second.asked == [("blue", False)]
    assert [row[0] for row in said(found)] == ["no", "yes", "yes"]
    assert lines[0].startswith("3 questions, 2 answered already, 1 to colours: at most ")
    assert judged(ImageJudge(second, say=lines.append), store, [asked(["red"])]).num_rows == 1
    assert lines[-1] == "1 questions, 1 answered already, 0 to colours" and len(second.asked) == 1


def test_other_labels_another_model_or_another_wording_are_asked_anew(folder: Directory) -> None:
    store, judge = AnswerStore(folder), ColourJudge()
    judged(ImageJudge(judge), store, [asked(["red"])])
    judged(ImageJudge(judge), store, [asked(["red"], ["blue", "red"])])
    assert len(judge.asked) == 2
    for other in (ColourJudge(model="another"), ColourJudge(prompt_version="2")):
        judged(ImageJudge(other), store, [asked(["red"])])
        assert len(other.asked) == 1


def test_descriptions_are_asked_for_beside_answers_and_kept_as_well(folder: Directory) -> None:
    store, judge = AnswerStore(folder), ColourJudge()
    judged(ImageJudge(judge), store, [asked(["red"])])
    found = judged(ImageJudge(judge, describe=True), store, [asked(["red", "green"])])
    assert said(found) == [("yes", 0.75, "all red", None), ("no", 0.25, "all green", None)]
    assert judge.asked == [("red", False), ("green", False), ("red", True), ("green", True)]
    judged(ImageJudge(judge, describe=True), store, [asked(["red"], ["green"])])
    assert judge.asked[4:] == [("red", False)]  # what a picture shows does not depend on the labels
    assert said(judged(ImageJudge(judge), store, [asked(["red"])]))[0][2] is None


def test_what_cannot_be_answered_is_an_error_and_asked_again_the_next_time(folder: Directory) -> None:
    store = AnswerStore(folder)
    failing = ImageJudge(ColourJudge(failing=frozenset({"red"})), describe=True)
    found = judged(failing, store, [asked(["red", "blue"])])
    assert said(found) == [(None, None, None, "no idea"), ("yes", 0.75, "all blue", None)]
    mended = ColourJudge()
    assert said(judged(ImageJudge(mended), store, [asked(["red", "blue"])]))[0] == ("yes", 0.75, None, None)
    assert mended.asked == [("red", False)]


def test_a_judge_that_leaves_questions_out_is_a_fault() -> None:
    with pytest.raises(RuntimeError, match="colours left 2 of 2 questions without an answer"):
        judged(ImageJudge(ColourJudge(silent=True)), None, [asked(["red", "blue"])])


def test_the_cost_is_said_before_anything_is_asked() -> None:
    judge, lines = ColourJudge(), []

    def say(line: str) -> None:
        lines.append((line, len(judge.asked)))

    judged(ImageJudge(judge, describe=True, say=say), None, [asked(["red", "blue"])])
    first, before = lines[0]
    assert first.startswith("4 questions, 0 answered already, 4 to colours: at most ") and before == 0
    assert first.endswith(" tokens beside those of 4 pictures")


def recorded(path: Path, *rows: tuple[bytes, list[str] | None, str | None, float | None]) -> str:
    columns = [
        [image_question_id(image, labels) for image, labels, _, _ in rows],
        [answer for *_, answer, _ in rows],
        [probability for *_, probability in rows],
        [None] * len(rows),
        ["tiny"] * len(rows),
        ["image-1"] * len(rows),
    ]
    pq.write_table(pa.table(columns, schema=KEPT), path)
    return str(path)


def test_recorded_answers_are_repeated(tmp_path: Path) -> None:
    labels = ["red", "blue"]
    file = recorded(
        tmp_path / "answers.parquet",
        (picture("red"), labels, "yes", 0.9),
        (picture("red"), None, "a red field", None),
        (picture("green"), labels, "maybe\x1b", 7.0),
        (picture("blue"), labels, "no", 7.0),
    )
    judge = open_image_judge(ImageReplay(recorded=file, describe=True), {})
    assert judge is not None and (judge.judge.model, judge.judge.prompt_version) == ("replay:tiny", "image-1")
    found = judged(judge, None, [asked(["red", "green", "blue", "white"], labels)])
    assert said(found) == [
        ("yes", 0.9, "a red field", None),
        (None, None, None, "neither yes nor no, but 'maybe'"),
        ("no", None, None, None),
        (None, None, None, "not recorded"),
    ]


def test_stored_answers_are_a_recording(folder: Directory) -> None:
    table = asked(["red", "green"])
    expected = said(judged(ImageJudge(ColourJudge(), describe=True), AnswerStore(folder), [table]))
    judge = open_image_judge(ImageReplay(recorded=folder.url, describe=True), {})
    assert judge is not None and said(judged(judge, None, [table])) == expected


def test_a_recording_that_is_none_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="^--image-judge-recorded '.*gone' cannot be read"):
        open_image_judge(ImageReplay(recorded=str(tmp_path / "gone")), {})
    (tmp_path / "part.parquet").write_bytes(b"PAR1")
    with pytest.raises(CallerError, match="^--image-judge-recorded '.*' is not a recording of answers: part.parquet: "):
        open_image_judge(ImageReplay(recorded=str(tmp_path)), {})


def test_answers_are_kept_where_the_configuration_says_or_else_where_the_caller_does(tmp_path: Path) -> None:
    default = Directory(str(tmp_path / "scan"))
    given = image_answer_store(ImageVllm(answers=str(tmp_path / "shared")), default)
    own = image_answer_store(ImageHttp(url="http://a/v1", model="m"), default)
    assert given and own and (given.directory.url, own.directory) == (str(tmp_path / "shared"), default)
    assert image_answer_store(ImageReplay(recorded="a"), default) is image_answer_store(NoImageJudge(), default) is None
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CallerError, match="--image-judge-answers"):
        image_answer_store(ImageVllm(answers=str(tmp_path / "file" / "below")), default)


def test_damage_in_kept_answers_names_the_option_and_the_file(tmp_path: Path) -> None:
    store = image_answer_store(ImageVllm(), Directory(str(tmp_path)))
    (tmp_path / "part-1.parquet").write_bytes(b"no Parquet")
    with pytest.raises(CallerError, match="--image-judge-answers '.*part-1.parquet' is not a table of answers"):
        judged(ImageJudge(ColourJudge()), store, [asked(["red"])])


def test_nobody_is_asked_by_default() -> None:
    assert open_image_judge(NoImageJudge(), {}) is None
