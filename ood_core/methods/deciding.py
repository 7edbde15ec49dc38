"""Which of several methods decides what is flagged."""

from collections.abc import Iterable

FIRST = ("consensus", "verdicts", "reference")
"""These decide where they are asked for, in this order: they know more than the methods that they go by."""


def deciding_method(methods: Iterable[str]) -> str:
    """The method by whose flags images are kept or dropped: consensus, else verdicts, else the reference, else the
    first.

    Raises ValueError if there are no methods.
    """
    names = list(methods)
    if not names:
        raise ValueError("there is no method to decide")
    return next((name for name in FIRST if name in names), names[0])
