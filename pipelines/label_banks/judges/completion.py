"""What a chat completion says to a question of yes or no, whatever else the server puts in it."""

import math
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

NEGLIGIBLE = 0.01
"""Of an answer's probability: what the other, which is not among the likeliest tokens, may have at most."""


class NoAnswerError(Exception):
    """The server spoke, but said neither yes nor no."""


def yes_or_no(text: str) -> str:
    """`yes` or `no`, whichever the text begins with, in whatever case (METHODS.md §5). Else raises an error."""
    for answer in ("yes", "no"):
        if text.strip().lower().startswith(answer):
            return answer
    raise NoAnswerError(f"neither yes nor no, but {text!r}")


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
    message: _Message
    logprobs: Any = None  # `_Logprobs`, or a form of the server's own


class Completion(BaseModel):
    choices: Annotated[list[Choice], Field(min_length=1)]


def probability_yes(logprobs: object) -> float | None:
    """Of the likeliest first tokens, the probability of those that spell yes against those that spell no.

    None if the server does not tell, lists neither, or lists one where the other might matter.
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
