"""What runs where a vLLM model is: `vllm.LLM` as an actor. vLLM is imported only there."""

import gc
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipelines.judges.vllm_prompts import failures

GARBAGE = 100_000
"""New objects between two garbage collections: a thousand questions make tens of thousands, none of them garbage."""


@dataclass(frozen=True)
class EngineSpec:
    """What an engine is started with: its model, vLLM's arguments, environment variables of its process.

    `option`: the command line's for the judge, named in messages. `prompts`: `TextPrompts` or `ImagePrompts`.
    """

    option: str
    model: str
    prompts: Any
    max_model_len: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def not_loaded(self, error: Exception) -> str:
        """The message for an actor that could not be made; the error's last line says why."""
        return f"{self.option}-model {self.model!r} cannot be loaded: {str(error).strip().splitlines()[-1].strip()}"


class Engine:
    """`vllm.LLM` within this process, which replies to tables of questions."""

    def __init__(self, spec: EngineSpec) -> None:
        os.environ.update({**spec.environment, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"})
        from vllm import LLM  # pyright: ignore
        from vllm.exceptions import VLLMClientError  # pyright: ignore[reportMissingImports]

        self.spec = spec
        self.llm = LLM(model=spec.model, **spec.arguments)
        self.tokenizer = self.llm.get_tokenizer()
        self.refusal = VLLMClientError
        self.failed = False
        gc.collect()
        gc.freeze()  # what is loaded stays, and need not be gone through time and again
        gc.set_threshold(GARBAGE)

    def ready(self) -> int:
        """Returns once the model is loaded: the id of this process."""
        return os.getpid()

    def ask(self, questions: pa.Table) -> pa.Table:
        """The replies to a table of questions.

        An engine that failed, other than by refusing a question, may hold on to what it was asked. When it is asked
        again its process ends, so that Ray starts another and asks that one.
        """
        if self.failed:
            os._exit(1)
        try:
            return self.spec.prompts.replies(self.llm, questions, self.spec.max_model_len)
        except Exception as error:  # vLLM's are of no common kind; an answer's error is data
            self.failed = not isinstance(error, self.refusal)
            return failures(questions, f"{type(error).__name__}: {error}")
