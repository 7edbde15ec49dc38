"""The `http` judge against vLLM's own OpenAI-compatible server."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ood_core.negfilter.questions import ANSWERS, SYSTEM, prompt, questions
from pipelines.config.image_judges import ImageHttp
from pipelines.config.judges import Http
from pipelines.errors import CallerError
from pipelines.judges.http import HttpJudge
from pipelines.judges.image_judge import judged, open_image_judge
from tests.pipelines.judges.pictures import asked as asked_of_pictures
from tests.vllm.serving import KEY, serving

ASKED = [
    (negative, id_label)
    for negative in ("hammer", "Paris", "guitar string", "bulldog", "red", "Mount Everest")
    for id_label in (None, "dog", "tool", "city")
]


@dataclass(frozen=True)
class Server:
    url: str
    yes_no: list[int]
    """Tokens."""

    def judge(self, **settings: Any) -> HttpJudge:
        return HttpJudge(Http.model_validate({"url": self.url, "model": "tiny", "key_env": "TINY_KEY", **settings}))


@pytest.fixture(scope="module")
def server(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tiny_llm, tmp_path_factory.mktemp("vllm") / "server.log", "--max-model-len", "512") as url:
        yield Server(url, [_token(tiny_llm, word) for word in ("Yes", "No")])


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_KEY", KEY)


def _token(model: Path, word: str) -> int:
    from transformers import AutoTokenizer  # pyright: ignore[reportMissingImports]

    [token] = AutoTokenizer.from_pretrained(model).encode(word)
    return token


def probability_yes(model: Path, yes_no: list[int]) -> list[float]:
    """Of every question, by one pass of Transformers each."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer  # pyright: ignore[reportMissingImports]

    tokenizer, network = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    found = []
    for words in ASKED:
        chat = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt(*words)}]
        text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        with torch.inference_mode():
            logits = network(**tokenizer(text, return_tensors="pt")).logits[0, -1, yes_no]
        found.append(float(logits.softmax(0)[0]))
    return found


def asked(*more: tuple[str, str | None]) -> pa.Table:
    return questions((negative, label, 1 if label else None) for negative, label in [*ASKED, *more])


def test_answers_and_probabilities_are_the_models_own(server: Server, tiny_llm: Path) -> None:
    judge = server.judge(extra_body={"allowed_token_ids": server.yes_no, "logprob_token_ids": server.yes_no})
    found = pa.concat_tables(judge.answers([asked()]))
    assert found.schema == ANSWERS and found["error"].null_count == len(ASKED)
    rows = {row["question"]: row for row in found.to_pylist()}
    assert len(rows) == len(ASKED)
    for question, expected in zip(
        asked()["question"].to_pylist(), probability_yes(tiny_llm, server.yes_no), strict=True
    ):
        assert rows[question]["probability_yes"] == pytest.approx(expected, abs=1e-4)
        assert rows[question]["answer"] == ("yes" if rows[question]["probability_yes"] > 0.5 else "no")


def test_structured_output_leaves_nothing_but_yes_and_no(server: Server) -> None:
    judge = server.judge(extra_body={"structured_outputs": {"choice": ["Yes", "No"]}})
    found = pa.concat_tables(judge.answers([asked()]))
    assert set(found["answer"].to_pylist()) <= {"yes", "no"} and len(found) == len(ASKED)


def test_a_question_longer_than_the_context_is_an_error_and_the_rest_is_answered(server: Server) -> None:
    judge = server.judge(extra_body={"allowed_token_ids": server.yes_no}, concurrency=4)
    found = pa.concat_tables(judge.answers([asked(("very " * 600 + "long", None))])).to_pylist()
    [error] = [row["error"] for row in found if row["answer"] is None]
    assert error.startswith("BadRequestError: ") and "512" in error and len(found) == len(ASKED) + 1


def test_mistakes_are_found_at_the_first_answer(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CallerError, match="--judge-model 'other' .*The model `other` does not exist"):
        list(server.judge(model="other").answers([asked()]))
    with pytest.raises(CallerError, match="is not to be had at --judge-url .*such as http://localhost:8000/v1"):
        list(server.judge(url=server.url.removesuffix("/v1")).answers([asked()]))
    monkeypatch.setenv("TINY_KEY", "another")
    with pytest.raises(CallerError, match="refuses the key in the environment variable TINY_KEY"):
        list(server.judge().answers([asked()]))


def test_a_model_without_vision_takes_no_pictures(server: Server) -> None:
    judge = open_image_judge(ImageHttp(url=server.url, model="tiny", key_env="TINY_KEY"), {})
    assert judge is not None
    with pytest.raises(CallerError, match="^--image-judge-model 'tiny' at --image-judge-url .* takes no pictures"):
        judged(judge, None, [asked_of_pictures(["red", "blue"])])
