"""How questions about texts are put to a vLLM engine, and what it says: prompts, answer tokens, tables of replies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.negfilter.questions import ANSWERS, SYSTEM, prompt

SPELLINGS = (("Yes", "No"), ("yes", "no"), (" Yes", " No"), (" yes", " no"), ("YES", "NO"))
"""Ways to spell the answers; used is the first whose words are one token each."""
PLACE = "HERE-GOES-THE-QUESTION"
TOO_LONG = "the question is of"
"""How the only error begins that asking again cannot mend."""


class PromptError(Exception):
    """Why questions with an answer of one word cannot be put to a model."""


@dataclass(frozen=True)
class AnswerTokens:
    """A model's tokens for yes and no."""

    yes: int
    no: int

    @classmethod
    def of(cls, tokenizer: Any) -> "AnswerTokens":
        """Reads them from a tokenizer. Raises PromptError if it has no one-token answers."""
        for words in SPELLINGS:
            tokens = [tokenizer.encode(word, add_special_tokens=False) for word in words]
            if all(len(found) == 1 for found in tokens) and tokens[0] != tokens[1]:
                return cls(tokens[0][0], tokens[1][0])
        raise PromptError("its tokenizer spells neither Yes and No nor yes and no with one token each")

    def sampling(self) -> dict[str, Any]:
        """vLLM's sampling parameters for an answer of one token, yes or no, and the log-probabilities of both."""
        both = [self.yes, self.no]
        shown = {"logprobs": len(both), "logprob_token_ids": both, "detokenize": False}
        return {"max_tokens": 1, "temperature": 0.0, "allowed_token_ids": both, **shown}

    def flat_sampling(self) -> Any:
        """The same as vLLM's object, with log-probabilities as `difference` reads them."""
        from vllm import SamplingParams  # pyright: ignore

        return SamplingParams(**self.sampling(), flat_logprobs=True, skip_clone=True)

    def difference(self, output: Any) -> float:
        """The log-probability of yes minus that of no in an engine's output."""
        shown = output.outputs[0].logprobs
        of = dict(zip(shown.token_ids, shown.logprobs, strict=True))
        return of[self.yes] - of[self.no]


@dataclass(frozen=True)
class TextPrompts:
    """What a model's chat template puts before and after a question about texts, and the tokens of its answers.

    Everything before the question's own words, the instruction included, is the same in all questions, and shared.
    """

    before: str
    after: str
    answers: AnswerTokens

    @classmethod
    def of(cls, tokenizer: Any) -> "TextPrompts":
        """Reads them from a tokenizer. Raises PromptError if it has no chat template, or no one-token answers."""
        before, after = _around(tokenizer)
        return cls(before, after, AnswerTokens.of(tokenizer))

    def tokens(self, tokenizer: Any, questions: pa.Table) -> list[list[int]]:
        """The token ids of each question's whole prompt. `questions`: a table of `QUESTIONS`."""
        pairs = zip(questions["negative"].to_pylist(), questions["id_label"].to_pylist(), strict=True)
        texts = [f"{self.before}{prompt(*pair)}{self.after}" for pair in pairs]
        return tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"] if texts else []

    def replies(self, llm: Any, questions: pa.Table, max_model_len: int) -> pa.Table:
        """An engine's replies to a table of `QUESTIONS`, as `replies` makes them."""
        tokens = self.tokens(llm.get_tokenizer(), questions)
        errors = [too_long(each, max_model_len) for each in tokens]
        asked = [row for row, error in enumerate(errors) if error is None]
        difference = np.zeros(len(tokens))
        if asked:
            prompts = [{"prompt_token_ids": tokens[row]} for row in asked]
            outputs = llm.generate(prompts, self.answers.flat_sampling(), use_tqdm=False)
            difference[asked] = [self.answers.difference(output) for output in outputs]
        return replies(questions, difference, errors)


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


def replies(
    questions: pa.Table, difference: np.ndarray, errors: Sequence[str | None], words: Sequence[str | None] | None = None
) -> pa.Table:
    """Questions with their answers beside them, so that they can be asked again: the columns of both.

    `difference`: log-probability of yes minus that of no; ignored where there is an error, and where there are `words`,
    the answers to open questions.
    """
    with np.errstate(over="ignore"):
        probability = 1 / (1 + np.exp(-np.asarray(difference, np.float64)))
    missing = np.array([error is not None for error in errors], bool)
    said = np.array(words if words is not None else [None] * len(errors), object)
    is_open = np.array([word is not None for word in said], bool)
    answers = np.where(is_open, said, np.where(difference > 0, "yes", "no").astype(object))
    found = {
        "answer": pa.array(answers, pa.string(), mask=missing),
        "probability_yes": pa.array(probability, mask=missing | is_open),
        "error": pa.array(errors, pa.string()),
    }
    schema = pa.schema([*questions.schema, *list(ANSWERS)[1:]])
    return pa.Table.from_arrays([*questions.columns, *found.values()], schema=schema)


def failures(questions: pa.Table, error: str) -> pa.Table:
    """The replies in which every question has the same error."""
    return replies(questions, np.zeros(len(questions)), [error] * len(questions))
