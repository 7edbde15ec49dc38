"""How each judge is configured: frozen sections, chosen by `name`."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from pipelines.config.base import Positive, Section

DEFAULT_MODEL = "Qwen/Qwen2.5-14B-Instruct-1M"
"""NegRefine's own."""


class NoJudge(Section):
    """Every candidate that the criterion keeps stays."""

    name: Literal["none"] = "none"


class Asking(Section):
    """A judge that is asked of every candidate whether it is a proper noun, and a subcategory of its `nearest` ID
    labels. `clean`: NegRefine's cleaning of the words before (METHODS.md §5). More than `max_unjudged` of them without
    an answer that is needed are too many."""

    nearest: int = Field(default=10, ge=1, le=100)
    clean: bool = True
    max_unjudged: float = Field(default=0.01, ge=0, le=1)


class Remembering(Asking):
    """A judge whose answers are worth keeping. `answers`: the folder; None: `answers` in the label bank's directory."""

    answers: str | None = None


class WordNet(Asking):
    """Relations of WordNet 3.0, which knows the words as they are spelled: they are not cleaned."""

    clean: bool = False
    name: Literal["wordnet"] = "wordnet"


class Replay(Asking):
    """Recorded answers: a Parquet table or a folder of them, as another build wrote it, or NegRefine's own log."""

    name: Literal["replay"] = "replay"
    recorded: str


class Vllm(Remembering):
    """A pool of vLLM engines on the cluster. `model`: a path or hub id of any chat model.

    `workers` engines, each on `tensor_parallel` GPUs (None: as many as the cluster has GPUs for; on CPUs one).
    `engine`: `processor` is Ray Data's `build_processor`, with an engine process beside every actor, started for every
    wave; `in-process` is `vllm.LLM` within an actor, started once, on one GPU or on CPUs. `auto`: `processor` where the
    cluster has GPUs.
    """

    name: Literal["vllm"] = "vllm"
    model: str = DEFAULT_MODEL
    workers: Positive | None = None
    tensor_parallel: Positive = 1
    max_model_len: Positive = 512
    prefix_caching: bool = True
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    engine: Literal["auto", "processor", "in-process"] = "auto"
    batch_size: Positive = 1024
    attempts: Positive = 3

    @field_validator("model")
    @classmethod
    def _absolute(cls, model: str) -> str:
        """Workers may stand in another directory."""
        return str(Path(model).absolute()) if Path(model).is_dir() else model


class Http(Remembering):
    """Any OpenAI-compatible endpoint. The key is read from the environment variable `key_env` and never recorded.

    `extra_body`: sent along with every request, such as a server's own way to constrain answers.
    """

    name: Literal["http"] = "http"
    url: str
    model: str
    key_env: str = "OPENAI_API_KEY"
    concurrency: Positive = 32
    attempts: Positive = 5
    timeout_s: float = Field(default=60.0, gt=0)
    extra_body: dict[str, Any] = Field(default_factory=dict)

    @field_validator("url")
    @classmethod
    def _no_secret(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("must be an http:// or https:// URL, such as http://localhost:8000/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError("must not hold credentials or a query: it is recorded; the key comes from the environment")
        return url


JudgeConfig = NoJudge | WordNet | Replay | Vllm | Http
JUDGES: Mapping[str, type[JudgeConfig]] = MappingProxyType(
    {"none": NoJudge, "wordnet": WordNet, "vllm": Vllm, "http": Http, "replay": Replay}
)


def option_of(field: str) -> str:
    """The option of the command line that gives a judge's field."""
    name = field.replace("_", "-")
    return {"name": "--judge", "answers": "--answers", "max-unjudged": "--max-unjudged"}.get(name, f"--judge-{name}")


def judge_config(given: Any) -> Any:
    """A judge's section from its name or its fields. Raises ValueError for a field that the judge has not."""
    if isinstance(given, Section):
        return given
    fields = {"name": given} if isinstance(given, str) else {"name": "wordnet", **given}
    if fields["name"] not in JUDGES:
        raise ValueError(f"the judges are {', '.join(JUDGES)}")
    judge = JUDGES[fields["name"]]
    foreign = [field for field in fields if field not in judge.model_fields]
    if foreign:
        known = ", ".join(option_of(field) for field in judge.model_fields if field != "name") or "no options"
        raise ValueError(f"{option_of(foreign[0])} is not an option of --judge {fields['name']}, which has {known}")
    return fields
