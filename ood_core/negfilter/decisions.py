"""Decides from a judge's answers which negative labels go; pure, so decisions can be replayed. Free of torch."""

from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Int, Int8

Decision = Literal["kept", "unjudged", "proper-noun", "same", "subcategory"]
"""`unjudged`: kept, but a question that could have removed it has no answer."""
DECISIONS: tuple[Decision, ...] = get_args(Decision)
KEPT, UNJUDGED, PROPER_NOUN, SAME, SUBCATEGORY = range(len(DECISIONS))

YES, NO, NO_ANSWER = 1, 0, -1


class Decided(NamedTuple):
    """Decisions on labels: an index into `DECISIONS`, and the rank (from 1) of the ID label that removed it, else 0."""

    decision: Int[np.ndarray, " labels"]
    rank: Int[np.ndarray, " labels"]


def decide(
    proper_noun: Int8[np.ndarray, " labels"],
    same: Bool[np.ndarray, "labels nearest"],
    subcategory: Int8[np.ndarray, "labels nearest"],
) -> Decided:
    """NegRefine's rule (METHODS.md §5) on answers `YES`, `NO` or `NO_ANSWER`.

    A proper noun goes; else the label goes with the nearest ID label that it is the `same` as, or a `subcategory` of.
    What no yes removes stays, as `UNJUDGED` if an answer is missing: a yes decides whatever is missing beside it. What
    is the same needs no answer, and neither do the subcategories of a proper noun.
    """
    labels = len(proper_noun)
    removing = same | (subcategory == YES)
    removed = removing.any(axis=1)
    first = removing.argmax(axis=1) if removing.shape[1] else np.zeros(labels, int)
    is_same = removed & same[np.arange(labels), first] if removing.shape[1] else removed
    missing = (proper_noun == NO_ANSWER) | (subcategory == NO_ANSWER).any(axis=1)
    decision = np.select(
        [proper_noun == YES, is_same, removed, missing], [PROPER_NOUN, SAME, SUBCATEGORY, UNJUDGED], KEPT
    )
    return Decided(decision, np.where((decision == SAME) | (decision == SUBCATEGORY), first + 1, 0))
