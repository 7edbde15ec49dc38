"""`oodscan labels build --judge vllm`, the whole path on Ray, with a tiny model."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ood_core.labels import LabelBank
from tests.vllm.asking import said_directly

ID_LABELS = ["cat", "dog", "horse", "owl"]
WORDS = [f"{colour} {thing}" for colour in ("red", "tall", "old", "dry") for thing in ("hammer", "oak", "sea", "Paris")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_llm: Path, ray_session: None) -> Path:
    place = tmp_path_factory.mktemp("judged")
    (place / "id.txt").write_text("\n".join(ID_LABELS))
    (place / "words.txt").write_text("\n".join(WORDS))
    (place / "first.txt").write_text(build(place, "bank", tiny_llm))
    return place


def build(place: Path, output: str, model: Path) -> str:
    """What the command says; it must end well."""
    command = [
        sys.executable, "-c", "from pipelines.commands.app import main; main()", "labels", "build",
        "--id-labels", place / "id.txt", "--corpus", place / "words.txt", "--fraction", "1", "--model", "bundled",
        "--output", place / output, "--judge", "vllm", "--judge-model", model, "--judge-engine", "processor",
        "--judge-dtype", "float32", "--judge-max-model-len", "256", "--judge-nearest", "3",
        "--answers", place / "answers",
    ]  # fmt: skip
    ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stderr


def test_every_question_is_answered_yes_or_no_with_its_probability(place: Path) -> None:
    answers = pq.read_table(place / "bank" / "answers.parquet").to_pylist()
    questions = pq.read_table(place / "bank" / "questions.parquet").to_pylist()
    assert [row["question"] for row in answers] == [row["question"] for row in questions]
    for row in answers:
        assert row["answer"] == ("yes" if row["probability_yes"] > 0.5 else "no")
        assert row["error"] is None


def test_the_tables_agree_with_asking_vllm_directly(place: Path, tiny_llm: Path) -> None:
    questions = pq.read_table(place / "bank" / "questions.parquet")
    answers = {row["question"]: row for row in pq.read_table(place / "bank" / "answers.parquet").to_pylist()}
    directly = said_directly(tiny_llm, questions)
    assert len(directly) == len(answers)
    for question, (answer, probability) in directly.items():
        assert answers[question]["answer"] == answer
        assert answers[question]["probability_yes"] == pytest.approx(probability, abs=1e-4)


def test_the_bank_keeps_what_no_yes_removes(place: Path) -> None:
    questions = pq.read_table(place / "bank" / "questions.parquet").to_pylist()
    answers = {row["question"]: row["answer"] for row in pq.read_table(place / "bank" / "answers.parquet").to_pylist()}
    removed = {row["negative"] for row in questions if answers[row["question"]] == "yes"}
    names = {row["negative"] for row in questions if row["id_label"] is None and answers[row["question"]] == "yes"}
    bank = LabelBank.load(place / "bank")
    assert set(bank.texts[len(ID_LABELS) :]) == set(WORDS) - removed
    assert not [row for row in questions if row["id_label"] and row["negative"] in names]
    described = json.loads((place / "bank" / "bank.json").read_text())["judge"]
    assert described["name"] == "vllm"
    assert described["prompt_version"] == "negrefine-1"


def test_the_next_build_asks_nothing(place: Path, tiny_llm: Path) -> None:
    said = build(place, "again", tiny_llm)
    assert "proper-noun: 0 questions" in said
    assert "subcategory: 0 questions" in said
    for name in ("labels.parquet", "answers.parquet", "decisions.parquet"):
        assert (place / "again" / name).read_bytes() == (place / "bank" / name).read_bytes()
