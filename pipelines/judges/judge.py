"""The protocol that every judge keeps to."""

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

import pyarrow as pa


@runtime_checkable
class Judge(Protocol):
    """Answers questions of one form, about labels or about images.

    A judge retries what can be retried: an error in an answer is final for this time.
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
        """Tables of `ANSWERS` for tables of questions (their columns: pipelines.judges.forms), as they come.

        Exactly one row a question, in any order. What cannot be answered has an error and no answer.
        """
        ...
