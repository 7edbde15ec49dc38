"""The questions for a judge: is a negative label a name, is it a kind of an ID label (METHODS.md §5). Free of torch."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

PROPER_NOUN, SUBCATEGORY = "proper-noun", "subcategory"

QUESTIONS = pa.schema(
    {
        "question": pa.int64(),  # `question_id`
        "kind": pa.string(),  # `proper-noun` or `subcategory`
        "negative": pa.string(),
        "id_label": pa.string(),  # null for a proper noun
        "rank": pa.int8(),  # how near the ID label is, from 1; null for a proper noun
    }
)
"""Columns of the table of questions."""

ANSWERS = pa.schema(
    {
        "question": pa.int64(),
        "answer": pa.string(),  # `yes`, `no`, or null if there is none
        "probability_yes": pa.float64(),  # of yes against no, null where the judge does not say
        "error": pa.string(),  # why there is no answer
    }
)
"""Columns of the table of answers."""

PROMPT_VERSION = "negrefine-1"
"""Version of the words below. Answers to other words are other answers: a change here is a new version."""

SYSTEM = "You are a helpful assistant. Answering only Yes/No."
_PROPER_NOUN = (
    "Is '{negative}' a proper noun, like the name of a city, country, mountain, river, or any unique place or entity?"
)
_SUBCATEGORY = "Is '{negative}' a subcategory of '{id_label}'?"  # the authors' "subcatgeory", spelled right

SHORTEST = 3
"""Words of fewer characters are dropped."""


def clean(text: str) -> str:
    """Letters, `_`, `-` and spaces of a label, which is what NegRefine asks about and keeps (METHODS.md §5)."""
    return "".join(letter for letter in text if letter.isalpha() or letter in "_- ").strip()


def prompt(negative: str, id_label: str | None) -> str:
    """The question in words, to be put after `SYSTEM`; without an ID label, whether the negative is a proper noun."""
    if id_label is None:
        return _PROPER_NOUN.format(negative=negative)
    return _SUBCATEGORY.format(negative=negative, id_label=id_label)


def question_id(negative: str, id_label: str | None) -> int:
    """64 bits of the question's hash; of a hundred million questions two are the same with a chance of 3e-4."""
    words = f"{len(negative)}:{negative}" if id_label is None else f"{len(negative)}:{negative}:{id_label}"
    digest = hashlib.blake2b(words.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def questions(asked: Iterable[tuple[str, str | None, int | None]]) -> pa.Table:
    """The table of questions (negative, ID label, rank); ID label and rank are None for a proper noun."""
    rows = list(asked)
    return pa.table(
        {
            "question": np.array([question_id(negative, label) for negative, label, _ in rows], np.int64),
            "kind": [PROPER_NOUN if label is None else SUBCATEGORY for _, label, _ in rows],
            "negative": [negative for negative, _, _ in rows],
            "id_label": [label for _, label, _ in rows],
            "rank": [rank for _, _, rank in rows],
        },
        schema=QUESTIONS,
    )
