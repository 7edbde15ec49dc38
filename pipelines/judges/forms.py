"""The two forms of questions that chat models are asked: about texts, and about images."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from ood_core import image_questions
from ood_core.negfilter import questions

Row = Mapping[str, Any]
Chat = list[dict[str, Any]]
"""Messages as OpenAI's API has them."""
PNG = b"\x89PNG"


class Form(Protocol):
    """A form of questions: their columns, and how each is put to a chat model."""

    @property
    def columns(self) -> pa.Schema:
        """Of the tables of questions; among them `question`, the id."""
        ...

    @property
    def prompt_version(self) -> str:
        """The version of the wording."""
        ...

    @property
    def give_up(self) -> int:
        """After so many questions in a row without an answer it is the server that fails, not the questions."""
        ...

    def chat(self, row: Row) -> Chat:
        """The messages that ask the question in a row of `columns`."""
        ...

    def is_open(self, row: Row) -> bool:
        """Whether the answer is a few words of the model's own, rather than yes or no."""
        ...


@dataclass(frozen=True)
class TextForm:
    """NegRefine's questions about labels, in the columns `QUESTIONS`."""

    columns: pa.Schema = questions.QUESTIONS
    prompt_version: str = questions.PROMPT_VERSION
    give_up: int = 100

    def chat(self, row: Row) -> Chat:
        """The instruction, and the question."""
        text = questions.prompt(row["negative"], row["id_label"])
        return [{"role": "system", "content": questions.SYSTEM}, {"role": "user", "content": text}]

    def is_open(self, row: Row) -> bool:  # noqa: ARG002
        """Never."""
        return False


@dataclass(frozen=True)
class ImageForm:
    """Questions about pictures, in the columns `IMAGE_QUESTIONS`. There are few of them, and all cost the same."""

    columns: pa.Schema = image_questions.IMAGE_QUESTIONS
    prompt_version: str = image_questions.PROMPT_VERSION
    give_up: int = 10

    def chat(self, row: Row) -> Chat:
        """The picture as a data URL, and the question; all in the user's words, since some models take no others."""
        picture = {"type": "image_url", "image_url": {"url": data_url(row["image"])}}
        return [{"role": "user", "content": [picture, {"type": "text", "text": image_questions.prompt(row["labels"])}]}]

    def is_open(self, row: Row) -> bool:
        """Where there are no labels: what does the picture show?"""
        return row["labels"] is None


TEXTS, IMAGES = TextForm(), ImageForm()


def data_url(image: bytes) -> str:
    """A JPEG or PNG as a URL that holds it."""
    kind = "png" if image.startswith(PNG) else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
