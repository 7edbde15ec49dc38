"""A judge by simple rules that remembers what it was asked: a capital letter is a name, a last word is a kind."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from ood_core.negfilter.questions import ANSWERS

Question = tuple[str, str | None]


@dataclass
class RuleJudge:
    """Has no answer to the questions in `failing`; stops for good before question number `stops_at`."""

    model: str = "rule"
    prompt_version: str = "1"
    failing: frozenset[Question] = frozenset()
    stops_at: int | None = None
    asked: list[Question] = field(default_factory=list)

    def answers(self, questions: Iterable[pa.Table]) -> Iterator[pa.Table]:
        for table in questions:
            rows = [self._answer(row) for row in table.to_pylist()]
            order = np.argsort([row["question"] for row in rows])  # in another order than they were asked
            yield pa.Table.from_pylist([rows[place] for place in order], schema=ANSWERS)

    def _answer(self, row: dict) -> dict:
        if len(self.asked) == self.stops_at:
            raise RuntimeError("the judge is gone")
        question = row["negative"], row["id_label"]
        self.asked.append(question)
        failed = {"question": row["question"], "error": "no idea"}
        answer = {"question": row["question"], "answer": ("no", "yes")[yes(*question)], "probability_yes": 0.25}
        return failed if question in self.failing else answer


def yes(negative: str, id_label: str | None) -> bool:
    return negative[0].isupper() if id_label is None else negative.endswith(f" {id_label}")
