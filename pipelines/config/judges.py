"""The configuration of each judge; which judge it is, its `name` says."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from pipelines.config.base import Configuration, Positive

DEFAULT_MODEL = "Qwen/Qwen2.5-14B-Instruct-1M"
"""The model that NegRefine used."""


class Engines(Configuration):
    """A pool of vLLM engines on the cluster. `option`: the command line's, which those of the fields begin with.

    `model`: a path or hub id. `workers`: how many engines, each on `tensor_parallel` GPUs (None: as many as there are
    GPUs for; on CPUs one). `batch_size`: questions handed over at once. `attempts`: how often a failing question is
    asked.
    """

    option: ClassVar[str] = "--judge"
    model: str
    workers: Positive | None = None
    tensor_parallel: Positive = 1
    max_model_len: Positive = 512
    prefix_caching: bool = True
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch_size: Positive = 1024
    attempts: Positive = 3

    @field_validator("model")
    @classmethod
    def _absolute_directory(cls, model: str) -> str:
        """The absolute path of a model's directory, since workers may stand in another; a hub id as it is."""
        return str(Path(model).absolute()) if Path(model).is_dir() else model


class Server(Configuration):
    """Any OpenAI-compatible endpoint, at the base URL `url`. `option`: as of `Engines`.

    The key is read from the environment variable `key_env` and never recorded. `concurrency`: requests at once.
    `attempts`: how often a request is tried. `timeout_s`: seconds to wait for an answer. `extra_body`: sent
    along with every request, such as a server's own way to constrain answers.
    """

    option: ClassVar[str] = "--judge"
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
        """The URL, if it is one of a server and holds nothing that must not be recorded."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("must be an http:// or https:// URL, such as http://localhost:8000/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError("must not hold credentials or a query: it is recorded; the key comes from the environment")
        return url


class NoJudge(Configuration):
    """Every candidate that the criterion keeps stays."""

    name: Literal["none"] = "none"


class AnsweringJudge(Configuration):
    """A judge that says of every candidate whether it is a proper noun, or a subcategory of an ID label.

    `nearest`: how many ID labels nearest to a candidate are asked about. `clean`: whether candidates are cleaned as in
    NegRefine first (METHODS.md §5). `max_unjudged`: the share of candidates that may lack an answer which is needed;
    with more of them the command ends with exit code 3.
    """

    nearest: int = Field(default=10, ge=1, le=100)
    clean: bool = True
    max_unjudged: float = Field(default=0.01, ge=0, le=1)


class StoredAnswersJudge(AnsweringJudge):
    """A judge whose answers are stored, so that a later build need not ask again.

    `answers`: the folder; None: `answers` in the label bank's directory.
    """

    answers: str | None = None


class WordNet(AnsweringJudge):
    """A judge that looks the words up in WordNet 3.0, which knows them as they are spelled: they are not cleaned."""

    clean: bool = False
    name: Literal["wordnet"] = "wordnet"


class Replay(AnsweringJudge):
    """A judge that repeats recorded answers.

    `recorded`: a Parquet table or a folder of them, as another build wrote it, or NegRefine's own log.
    """

    name: Literal["replay"] = "replay"
    recorded: str


class Vllm(Engines, StoredAnswersJudge):
    """A judge that is a pool of vLLM engines on the cluster. `model`: a path or hub id of any chat model.

    `workers`: how many engines, each on `tensor_parallel` GPUs (None: as many as there are GPUs for; on CPUs one).
    `engine`: `processor` is Ray Data's `build_processor`, with an engine process beside every actor, started for every
    wave; `in-process` is `vllm.LLM` within an actor, started once, on one GPU or on CPUs. `auto`: `processor` where the
    cluster has GPUs. `batch_size`: questions handed over at once. `attempts`: how often a failing question is asked.
    """

    name: Literal["vllm"] = "vllm"
    model: str = DEFAULT_MODEL
    engine: Literal["auto", "processor", "in-process"] = "auto"


class Http(Server, StoredAnswersJudge):
    """A judge behind any OpenAI-compatible endpoint, at the base URL `url`.

    The key is read from the environment variable `key_env` and never recorded. `concurrency`: requests at once.
    `attempts`: how often a request is tried. `timeout_s`: seconds to wait for an answer. `extra_body`: sent
    along with every request, such as a server's own way to constrain answers.
    """

    name: Literal["http"] = "http"


JudgeConfig = NoJudge | WordNet | Replay | Vllm | Http
JUDGES: Mapping[str, type[JudgeConfig]] = MappingProxyType(
    {"none": NoJudge, "wordnet": WordNet, "vllm": Vllm, "http": Http, "replay": Replay}
)


def option_of(field: str) -> str:
    """The command line's option for a field of a judge's configuration."""
    name = field.replace("_", "-")
    return {"name": "--judge", "answers": "--answers", "max-unjudged": "--max-unjudged"}.get(name, f"--judge-{name}")


def judge_config(given: Any) -> Any:
    """A judge's fields, checked, from its name or its fields. Raises ValueError for a field that it does not have."""
    return checked_fields(given, JUDGES, "wordnet", option_of)


def checked_fields(
    given: Any, judges: Mapping[str, type[Configuration]], default: str, option_of: Callable[[str], str]
) -> Any:
    """The fields of one of some judges, from its name or its fields; `default`: its name where they do not hold it.

    Raises ValueError for a judge that is unknown, and a field that it does not have.
    """
    if isinstance(given, Configuration):
        return given
    if not isinstance(given, str | Mapping):
        raise ValueError("a judge is a name, or its fields")
    fields = {"name": given} if isinstance(given, str) else {"name": default, **given}
    if not isinstance(fields["name"], str) or fields["name"] not in judges:
        raise ValueError(f"the judges are {', '.join(judges)}")
    judge = judges[fields["name"]]
    foreign = [field for field in fields if field not in judge.model_fields]
    if foreign:
        known = ", ".join(option_of(field) for field in judge.model_fields if field != "name") or "no options"
        named = f"{option_of('name')} {fields['name']}"
        raise ValueError(f"{option_of(foreign[0])} is not an option of {named}, which has {known}")
    return fields
