"""Reads yes or no, and how sure, or a few words out of a chat completion, whatever else the server puts in it."""

import math
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from ood_core.image_questions import described

NEGLIGIBLE = 0.01
"""The most that an answer missing from the likeliest tokens may have, as a share of the listed one's probability."""


class NoAnswerError(Exception):
    """The server replied, but not with an answer."""


def yes_or_no(text: str) -> str:
    """`yes` or `no`, whichever the text begins with, in any case (METHODS.md §5). Raises NoAnswerError if neither."""
    for answer in ("yes", "no"):
        if text.strip().lower().startswith(answer):
            return answer
    raise NoAnswerError(f"neither yes nor no, but {text!r}")


def in_words(text: str) -> str:
    """An answer in a few words, as `described` cuts it. Raises NoAnswerError if there is none."""
    if found := described(text):
        return found
    raise NoAnswerError(f"no words, but {text!r}")


class _TopToken(BaseModel):
    token: str
    logprob: Annotated[float, Field(le=1e-3)]


class _Token(BaseModel):
    top_logprobs: Annotated[list[_TopToken], Field(min_length=1)]


class _Logprobs(BaseModel):
    content: Annotated[list[_Token], Field(min_length=1)]


class _Message(BaseModel):
    content: str | None = None


class Choice(BaseModel):
    """One reply to a prompt."""

    message: _Message
    logprobs: Any = None  # `_Logprobs`, or a form of the server's own


class Completion(BaseModel):
    """A server's response; fields that are not read here are ignored."""

    choices: Annotated[list[Choice], Field(min_length=1)]


def probability_yes(logprobs: object) -> float | None:
    """The probability of yes against no, from the likeliest first tokens of an answer; in [0, 1].

    None if the server does not tell, lists neither, or lists only one where the other might matter.
    """
    try:
        first = _Logprobs.model_validate(logprobs).content[0]
    except ValidationError:
        return None
    chances = [math.exp(top.logprob) for top in first.top_logprobs]
    mass = {"yes": 0.0, "no": 0.0}
    for top, chance in zip(first.top_logprobs, chances, strict=True):
        word = top.token.strip().lower()
        if word in mass:
            mass[word] += chance
    listed, unlisted = sum(mass.values()), min(*chances, 1 - sum(chances))
    if listed <= 0 or (min(mass.values()) <= 0 and unlisted > NEGLIGIBLE * listed):
        return None
    return mass["yes"] / listed
