"""How questions about images are put to a vLLM engine: as chats that hold the picture."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.image_questions import described
from pipelines.judges.forms import IMAGES
from pipelines.judges.vllm_prompts import AnswerTokens, PromptError, replies

OPEN_TOKENS = 32
"""The longest answer to an open question."""
NO_WORDS = "the model said nothing"


@dataclass(frozen=True)
class ImagePrompts:
    """A vision-language model's tokens for yes and no; its chat template is applied where the engine is."""

    answers: AnswerTokens

    @classmethod
    def of(cls, processor: Any) -> "ImagePrompts":
        """Reads them from a processor. Raises PromptError for a model that takes no pictures or does not chat."""
        if not hasattr(processor, "image_processor"):
            raise PromptError("it takes no pictures; a vision-language model is needed")
        tokenizer = getattr(processor, "tokenizer", None)
        if not (getattr(processor, "chat_template", None) or getattr(tokenizer, "chat_template", None)):
            raise PromptError("it has no chat template; a chat (instruct) model is needed")
        return cls(AnswerTokens.of(tokenizer))

    def replies(self, llm: Any, questions: pa.Table, max_model_len: int) -> pa.Table:  # noqa: ARG002
        """An engine's replies to a table of `IMAGE_QUESTIONS`; the engine itself refuses a chat that is too long."""
        from vllm import SamplingParams  # pyright: ignore

        form, rows = IMAGES, questions.to_pylist()
        words = SamplingParams(max_tokens=OPEN_TOKENS, temperature=0.0)
        chosen = self.answers.flat_sampling()
        sampling = [words if form.is_open(row) else chosen for row in rows]
        outputs = llm.chat([form.chat(row) for row in rows], sampling, use_tqdm=False) if rows else []
        difference = np.zeros(len(rows))
        said: list[str | None] = [None] * len(rows)
        errors: list[str | None] = [None] * len(rows)
        for number, (row, output) in enumerate(zip(rows, outputs, strict=True)):
            if not form.is_open(row):
                difference[number] = self.answers.difference(output)
            elif found := described(output.outputs[0].text):
                said[number] = found
            else:
                errors[number] = NO_WORDS
        return replies(questions, difference, errors, said)
