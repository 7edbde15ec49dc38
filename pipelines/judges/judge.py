"""The protocol that every judge keeps to."""

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

import pyarrow as pa


@runtime_checkable
class Judge(Protocol):
    """Answers NegRefine's questions about candidates.

    A judge retries what can be retried: an error in an answer is final for this build.
    """

    @property
    def model(self) -> str:
        """The name that answers are stored under; another model, or the same with other weights, has another name."""
        ...

    @property
    def prompt_version(self) -> str:
        """The version of the wording, or of the rules, by which the questions are asked."""
        ...

    def answers(self, questions: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Tables of `ANSWERS` for tables of `QUESTIONS` (both in ood_core.negfilter.questions), as they come.

        Exactly one row a question, in any order. What cannot be answered has an error and no answer.
        """
        ...
