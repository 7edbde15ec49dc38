"""The configuration of each judge of images; which judge it is, its `name` says."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from pipelines.config.base import Configuration, Positive
from pipelines.config.judges import Engines, Server, checked_fields

IMAGE_MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"
OPTION = "--image-judge"


class NoImageJudge(Configuration):
    """No model is asked; people may be."""

    name: Literal["none"] = "none"


class AnsweringImageJudge(Configuration):
    """A judge that says of an image whether it shows one of the ID labels that are nearest to it.

    `nearest`: of how many labels. `describe`: whether it says in a few words what the image shows, too, which is a
    question more. `max_questions`: the most images that it is asked about at a time.
    """

    nearest: int = Field(default=10, ge=1, le=100)
    describe: bool = False
    max_questions: Positive = 50


class StoredImageJudge(AnsweringImageJudge):
    """A judge whose answers are stored, so that none is ever asked for twice.

    `answers`: the folder; None: one in the directory of what is judged.
    """

    answers: str | None = None


class ImageReplay(AnsweringImageJudge):
    """A judge that repeats recorded answers. `recorded`: a Parquet table or a folder of them, as answers are stored."""

    name: Literal["replay"] = "replay"
    recorded: str


class ImageVllm(Engines, StoredImageJudge):
    """A judge that is a pool of vLLM engines on the cluster, `vllm.LLM` in actors.

    `model`: a path or hub id of any vision-language chat model. `workers`: how many engines, each on `tensor_parallel`
    GPUs (None: as many as there are GPUs for; on CPUs one). `max_model_len`: tokens of a picture and its question.
    `batch_size`: questions handed over at once. `attempts`: how often a failing question is asked.
    """

    option: ClassVar[str] = OPTION
    name: Literal["vllm"] = "vllm"
    model: str = IMAGE_MODEL
    max_model_len: Positive = 4096
    batch_size: Positive = 64


class ImageHttp(Server, StoredImageJudge):
    """A judge behind any OpenAI-compatible endpoint that takes pictures, at the base URL `url`.

    The key is read from the environment variable `key_env` and never recorded. `concurrency`: requests at once.
    `attempts`: how often a request is tried. `timeout_s`: seconds to wait for an answer. `extra_body`: sent along with
    every request.
    """

    option: ClassVar[str] = OPTION
    name: Literal["http"] = "http"


ImageJudgeConfig = NoImageJudge | ImageReplay | ImageVllm | ImageHttp
IMAGE_JUDGES: Mapping[str, type[ImageJudgeConfig]] = MappingProxyType(
    {"none": NoImageJudge, "vllm": ImageVllm, "http": ImageHttp, "replay": ImageReplay}
)


class WithImageJudge(Configuration):
    """What has a judge of images: its fields, or its name alone."""

    image_judge: Annotated[
        ImageJudgeConfig, Field(discriminator="name"), BeforeValidator(lambda given: image_judge_config(given))
    ] = NoImageJudge()


def image_option_of(field: str) -> str:
    """The command line's option for a field of an image judge's configuration."""
    special = {"name": OPTION, "max_questions": "--max-questions"}
    return special.get(field, f"{OPTION}-{field.replace('_', '-')}")


def image_judge_config(given: Any) -> Any:
    """An image judge's fields, checked, from its name or its fields. Raises ValueError for a field it does not have."""
    return checked_fields(given, IMAGE_JUDGES, "none", image_option_of)
