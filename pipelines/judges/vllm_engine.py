"""What runs where a vLLM model is: its prompts and tokens, and `vllm.LLM` as an actor. vLLM is imported only there."""

import gc
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.negfilter.questions import ANSWERS, QUESTIONS, SYSTEM, prompt

SPELLINGS = (("Yes", "No"), ("yes", "no"), (" Yes", " No"), (" yes", " no"), ("YES", "NO"))
"""Ways to spell the answers; used is the first whose words are one token each."""
PLACE = "HERE-GOES-THE-QUESTION"
GARBAGE = 100_000
"""New objects between two garbage collections: a thousand questions make tens of thousands, none of them garbage."""
TOO_LONG = "the question is of"
"""How the only error begins that asking again cannot mend."""

REPLIES = pa.schema([*QUESTIONS, *list(ANSWERS)[1:]])
"""Questions with their answers beside them, so that they can be asked again."""


class PromptError(Exception):
    """Why questions with an answer of one word cannot be put to a model."""


@dataclass(frozen=True)
class Prompts:
    """What a model's chat template puts before and after a question, and the model's tokens for yes and no.

    Everything before the question's own words, the instruction included, is the same in all questions, and shared.
    """

    before: str
    after: str
    yes: int
    no: int

    @classmethod
    def of(cls, tokenizer: Any) -> "Prompts":
        """Reads them from a tokenizer. Raises PromptError if it has no chat template, or no one-token answers."""
        before, after = _around(tokenizer)
        for words in SPELLINGS:
            tokens = [tokenizer.encode(word, add_special_tokens=False) for word in words]
            if all(len(found) == 1 for found in tokens) and tokens[0] != tokens[1]:
                return cls(before, after, tokens[0][0], tokens[1][0])
        raise PromptError("its tokenizer spells neither Yes and No nor yes and no with one token each")

    def tokens(self, tokenizer: Any, questions: pa.Table) -> list[list[int]]:
        """The token ids of each question's whole prompt. `questions`: a table of `QUESTIONS`."""
        pairs = zip(questions["negative"].to_pylist(), questions["id_label"].to_pylist(), strict=True)
        texts = [f"{self.before}{prompt(*pair)}{self.after}" for pair in pairs]
        return tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"] if texts else []

    def sampling(self) -> dict[str, Any]:
        """vLLM's sampling parameters for an answer of one token, yes or no, and the log-probabilities of both."""
        both = [self.yes, self.no]
        shown = {"logprobs": len(both), "logprob_token_ids": both, "detokenize": False}
        return {"max_tokens": 1, "temperature": 0.0, "allowed_token_ids": both, **shown}


def _around(tokenizer: Any) -> tuple[str, str]:
    """What the chat template puts before and after the user's words, the system prompt included. Raises PromptError."""
    if tokenizer.chat_template is None:
        raise PromptError("it has no chat template; a chat (instruct) model is needed")
    system = [{"role": "system", "content": SYSTEM}]
    for messages in (
        [*system, {"role": "user", "content": PLACE}],
        [{"role": "user", "content": f"{SYSTEM}\n{PLACE}"}],  # some templates refuse a system message
    ):
        try:
            text = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        except Exception as error:  # whatever the template raises
            problem = error
            continue
        if text.count(PLACE) == 1:
            before, _, after = text.partition(PLACE)
            return before, after
        raise PromptError("its chat template does not repeat the user's words once, as they are")
    raise PromptError(f"its chat template fails: {problem}")


def too_long(tokens: Sequence[int], max_model_len: int) -> str | None:
    """Why a question does not fit the model's context with one token for the answer; None if it does."""
    if len(tokens) < max_model_len:
        return None
    return f"{TOO_LONG} {len(tokens)} tokens: no room for an answer with --judge-max-model-len {max_model_len}"


def replies(questions: pa.Table, difference: np.ndarray, errors: Sequence[str | None]) -> pa.Table:
    """A table of `REPLIES`. `difference`: log-probability of yes minus that of no; ignored where there is an error."""
    with np.errstate(over="ignore"):
        probability = 1 / (1 + np.exp(-np.asarray(difference, np.float64)))
    missing = np.array([error is not None for error in errors], bool)
    answers = pa.array(np.where(difference > 0, "yes", "no").astype(object), pa.string(), mask=missing)
    columns = [answers, pa.array(probability, mask=missing), pa.array(errors, pa.string())]
    return pa.Table.from_arrays([*questions.select(QUESTIONS.names).columns, *columns], schema=REPLIES)


def not_loaded(model: str, error: Exception) -> str:
    """The message for an actor that could not be made; the error's last line says why."""
    return f"--judge-model {model!r} cannot be loaded: {str(error).strip().splitlines()[-1].strip()}"


def failures(questions: pa.Table, error: str) -> pa.Table:
    """A table of `REPLIES` in which every question has the same error."""
    return replies(questions, np.zeros(len(questions)), [error] * len(questions))


@dataclass(frozen=True)
class EngineSpec:
    """What an engine is started with: its model, vLLM's arguments, environment variables of its process."""

    model: str
    prompts: Prompts
    max_model_len: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


class Engine:
    """`vllm.LLM` within this process, which turns tables of `QUESTIONS` into tables of `REPLIES`."""

    def __init__(self, spec: EngineSpec) -> None:
        os.environ.update({**spec.environment, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"})
        from vllm import LLM, SamplingParams  # pyright: ignore
        from vllm.exceptions import VLLMClientError  # pyright: ignore[reportMissingImports]

        self.spec = spec
        self.llm = LLM(model=spec.model, **spec.arguments)
        self.tokenizer = self.llm.get_tokenizer()
        self.sampling = SamplingParams(**spec.prompts.sampling(), flat_logprobs=True, skip_clone=True)
        self.refusal = VLLMClientError
        self.failed = False
        gc.collect()
        gc.freeze()  # what is loaded stays, and need not be gone through time and again
        gc.set_threshold(GARBAGE)

    def ready(self) -> int:
        """Returns once the model is loaded: the id of this process."""
        return os.getpid()

    def ask(self, questions: pa.Table) -> pa.Table:
        """A table of `REPLIES` to a table of `QUESTIONS`.

        An engine that failed, other than by refusing a question, may hold on to what it was asked. When it is asked
        again its process ends, so that Ray starts another and asks that one.
        """
        if self.failed:
            os._exit(1)
        tokens = self.spec.prompts.tokens(self.tokenizer, questions)
        errors = [too_long(each, self.spec.max_model_len) for each in tokens]
        asked = [row for row, error in enumerate(errors) if error is None]
        difference = np.zeros(len(tokens))
        try:
            difference[asked] = self._differences([tokens[row] for row in asked])
        except Exception as error:  # vLLM's are of no common kind; an answer's error is data
            self.failed = not isinstance(error, self.refusal)
            return failures(questions, f"{type(error).__name__}: {error}")
        return replies(questions, difference, errors)

    def _differences(self, tokens: list[list[int]]) -> list[float]:
        """For each prompt the log-probability of yes minus that of no."""
        yes, no = self.spec.prompts.yes, self.spec.prompts.no
        found: list[float] = []
        outputs = self.llm.generate([{"prompt_token_ids": each} for each in tokens], self.sampling, use_tqdm=False)
        for output in outputs if tokens else ():
            shown: Any = output.outputs[0].logprobs
            of = dict(zip(shown.token_ids, shown.logprobs, strict=True))
            found.append(of[yes] - of[no])
        return found
