from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BeforeValidator, Field

from pipelines.config.base import Configuration
from pipelines.config.image_judges import (
    IMAGE_MODEL,
    ImageHttp,
    ImageJudgeConfig,
    ImageReplay,
    ImageVllm,
    NoImageJudge,
    image_judge_config,
)
from pipelines.config.load import load
from pipelines.errors import CallerError


class Asking(Configuration):
    """A command's configuration with a judge of images in it."""

    image_judge: Annotated[ImageJudgeConfig, Field(discriminator="name"), BeforeValidator(image_judge_config)] = (
        NoImageJudge()
    )


def config(given: Any) -> Any:
    return load(Asking, None, {"image_judge": given}).image_judge


@pytest.mark.parametrize(
    ("given", "judge"),
    [
        ("none", NoImageJudge()),
        ({}, NoImageJudge()),
        ("vllm", ImageVllm()),
        ({"name": "vllm", "nearest": 3, "describe": True}, ImageVllm(nearest=3, describe=True)),
        ({"name": "http", "url": "http://a/v1", "model": "m"}, ImageHttp(url="http://a/v1", model="m")),
        ({"name": "replay", "recorded": "answers"}, ImageReplay(recorded="answers")),
    ],
)
def test_a_judge_is_given_by_its_name_or_its_fields(given: Any, judge: Any) -> None:
    assert config(given) == judge


def test_what_is_not_given_has_its_default() -> None:
    found = config("vllm")
    assert (found.model, found.nearest, found.describe, found.max_questions) == (IMAGE_MODEL, 10, False, 50)
    assert (found.answers, found.workers, found.tensor_parallel) == (None, None, 1)


def test_a_file_and_the_command_line_lie_over_each_other(tmp_path: Path) -> None:
    file = tmp_path / "scan.yaml"
    file.write_text("image_judge:\n  name: vllm\n  model: some/model\n  nearest: 5\n")
    found = load(Asking, file, {"image_judge": {"nearest": 7}}).image_judge
    assert found == ImageVllm(model="some/model", nearest=7)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("wordnet", "the judges are none, vllm, http, replay"),
        ({"model": "m"}, "--image-judge-model is not an option of --image-judge none, which has no options"),
        (
            {"name": "vllm", "url": "http://a"},
            "--image-judge-url is not an option of --image-judge vllm, which has .*--i",
        ),
        ({"name": "vllm", "engine": "processor"}, "--image-judge-engine is not an option of --image-judge vllm"),
        ({"name": "vllm", "nearest": 0}, "--image-judge-nearest = 0: Input should be greater than or equal to 1"),
        ({"name": "vllm", "max_questions": 0}, "--max-questions = 0: Input should be greater"),
        ({"name": "http", "model": "m"}, "--image-judge-url is missing; give it .* as `image_judge.url:` in the YAML"),
        ({"name": "http", "model": "m", "url": "ftp://a"}, "--image-judge-url = 'ftp://a': must be an http"),
        ({"name": "http", "model": "m", "url": "http://a:b@c"}, "must not hold credentials"),
        ({"name": "replay"}, "--image-judge-recorded is missing"),
    ],
)
def test_mistakes_name_the_option_and_the_value(given: Any, message: str) -> None:
    with pytest.raises(CallerError, match=message):
        config(given)
