"""The `http` judge of images against vLLM's own OpenAI-compatible server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ood_core.image_questions import WORDS
from pipelines.config.image_judges import ImageHttp
from pipelines.judges.image_judge import judged, open_image_judge
from tests.vllm.pictures import asked
from tests.vllm.serving import KEY, serving


@pytest.fixture(scope="module")
def url(tiny_vlm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    with serving(tiny_vlm, log, "--max-model-len", "1024", "--limit-mm-per-prompt", '{"image": 1, "video": 0}') as url:
        yield url


def test_pictures_are_answered_and_described(url: str, monkeypatch: pytest.MonkeyPatch, tiny_vlm: Path) -> None:
    from transformers import AutoTokenizer  # pyright: ignore[reportMissingImports]

    monkeypatch.setenv("TINY_KEY", KEY)
    yes_no = AutoTokenizer.from_pretrained(tiny_vlm).convert_tokens_to_ids(["Yes", "No"])
    along = {"allowed_token_ids": yes_no, "logprob_token_ids": yes_no}
    judge = open_image_judge(ImageHttp(url=url, model="tiny", key_env="TINY_KEY", extra_body=along), {})
    assert judge is not None
    found = judged(judge, None, [asked(12)]).to_pylist()
    assert {row["answer"] for row in found} == {"yes", "no"}
    assert all(row["answer"] == ("yes" if row["probability_yes"] > 0.5 else "no") for row in found)
    free = open_image_judge(ImageHttp(url=url, model="tiny", key_env="TINY_KEY", describe=True), {})
    assert free is not None
    described = judged(free, None, [asked(2)])["description"].to_pylist()
    assert all(text and len(text.split()) <= WORDS for text in described)
