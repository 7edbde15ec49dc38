"""How each judge is configured: frozen sections, chosen by `name`."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from pipelines.section import Positive, Section

DEFAULT_MODEL = "Qwen/Qwen2.5-14B-Instruct-1M"
"""NegRefine's own."""


class NoJudge(Section):
    """Every candidate that the criterion keeps stays."""

    name: Literal["none"] = "none"


class WordNet(Section):
    """Relations of WordNet 3.0."""

    name: Literal["wordnet"] = "wordnet"


class Replay(Section):
    """Recorded answers: a Parquet table, or a folder of them, as another build wrote it."""

    name: Literal["replay"] = "replay"
    recorded: str


class Vllm(Section):
    """A pool of vLLM engines on the cluster. `model`: a path or hub id of any chat model.

    `workers` engines, each on `tensor_parallel` GPUs (None: as many as the cluster has GPUs for; on CPUs one).
    """

    name: Literal["vllm"] = "vllm"
    model: str = DEFAULT_MODEL
    workers: Positive | None = None
    tensor_parallel: Positive = 1
    max_model_len: Positive = 512
    prefix_caching: bool = True
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch_size: Positive = 256
    attempts: Positive = 3


class Http(Section):
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


JudgeConfig = Annotated[NoJudge | WordNet | Replay | Vllm | Http, Field(discriminator="name")]
