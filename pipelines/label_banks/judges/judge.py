"""What every judge is."""

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

import pyarrow as pa


@runtime_checkable
class Judge(Protocol):
    """Answers questions. Has retried what can be retried: an error in an answer is final for this build."""

    @property
    def model(self) -> str:
        """Whose answers these are. Answers are kept by it: another model, or the same with other weights, differs."""
        ...

    @property
    def prompt_version(self) -> str:
        """Of the words or rules that the questions are asked by."""
        ...

    def answers(self, questions: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Of tables of `QUESTIONS` (ood_core.negfilter.questions), tables of `ANSWERS`: exactly one row a question, in
        any order, as they come. What cannot be answered has an error and no answer."""
        ...
