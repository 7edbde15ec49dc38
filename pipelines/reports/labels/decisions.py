"""Decisions on the candidates of a label bank, read from the tables that its judge left. Free of torch."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf, isnan
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from ood_core.labels import BankInfo
from ood_core.negfilter.decisions import DECISIONS
from ood_core.negfilter.questions import ANSWERS, QUESTIONS, question_id
from pipelines.label_banks.judge_tables import ANSWERS_FILE, DECISION_COLUMNS, DECISIONS_FILE, QUESTIONS_FILE
from pipelines.reports.labels.files import BankFiles


@dataclass(frozen=True)
class JudgedLabel:
    """A candidate that was judged: a row of `decisions.parquet`, with the answer that decided.

    `probability_yes`: the judge's probability of yes in that answer; `remark`: more on the decision, such as why an
    answer is missing.
    """

    negative: str
    spelled: str
    part: str
    selection_score: float | None
    decision: str
    id_label: str | None
    probability_yes: float | None = None
    remark: str | None = None

    @property
    def why(self) -> str:
        """The reason of the decision in words; empty for a label that is kept."""
        if self.decision == "proper-noun":
            return "proper noun"
        if self.decision in ("same", "subcategory"):
            return f"{self.decision} {'as' if self.decision == 'same' else 'of'} {self.id_label}"
        return self.remark or ("no answer" if self.decision == "unjudged" else "")

    def to_json(self) -> dict[str, Any]:
        return {**{name: value for name, value in asdict(self).items() if name != "remark"}, "why": self.why}

    @property
    def rank(self) -> float:
        """The selection score to sort by, lowest first and best; infinite where there is none."""
        return inf if self.selection_score is None else self.selection_score


DecisionCounts = Mapping[tuple[str, str], int]
"""How many candidates met a decision, by decision and part of speech."""


def is_judged(files: BankFiles, info: BankInfo) -> bool:
    """Whether a judge has decided on the bank's candidates, and left tables that say so."""
    return info.judge.get("name") != "none" and files.has(DECISIONS_FILE)


def survey(files: BankFiles, chosen: Mapping[str, int | None]) -> tuple[DecisionCounts, dict[str, list[JudgedLabel]]]:
    """Counts of all decisions, and the best candidates of some.

    `chosen`: how many candidates by decision, None for all.
    """
    met: Counter[tuple[str, str]] = Counter()
    best: dict[str, list[JudgedLabel]] = {decision: [] for decision in chosen}
    for table in files.tables(DECISIONS_FILE, DECISION_COLUMNS):
        met.update(zip(table["decision"].to_pylist(), table["part"].to_pylist(), strict=True))
        for decision, most in chosen.items():
            rows = best_first(table.filter(compute.field("decision") == decision), most)
            found = [*best[decision], *candidates(rows)]
            best[decision] = sorted(found, key=lambda one: one.rank)[:most]
    if unknown := {decision for decision, _ in met} - set(DECISIONS):
        name = sorted(unknown, key=str)[0]
        raise files.invalid(f"{DECISIONS_FILE} has the decision {name!r}; decisions are {', '.join(DECISIONS)}")
    return met, best


def best_first(rows: pa.Table, most: int | None) -> pa.Table:
    """The `most` rows of the lowest selection scores, which are the best; equal ones in their order."""
    return rows.take(np.argsort(rows["selection_score"].to_numpy(), kind="stable")[:most])


def candidates(rows: pa.Table) -> list[JudgedLabel]:
    """The rows of `decisions.parquet` as candidates."""
    return [JudgedLabel(**row | {"selection_score": known(row["selection_score"])}) for row in rows.to_pylist()]


def known(score: float | None) -> float | None:
    """The selection score, None for NaN, which says that there is none."""
    return None if score is None or isnan(score) else score


def explained(files: BankFiles, shown: Sequence[JudgedLabel]) -> list[JudgedLabel]:
    """The candidates with the answers that decided on them, or the error why one is missing."""
    if not files.has(ANSWERS_FILE):
        return list(shown)
    questions = _open_questions(files, {one.negative for one in shown if one.decision == "unjudged"})
    deciding = [_deciding(one) for one in shown]
    asked = [question for question in deciding if question is not None]
    answers = _answers(files, {*asked, *(question for of_one in questions.values() for question in of_one)})
    found = []
    for one, question in zip(shown, deciding, strict=True):
        if question in answers:
            found.append(replace(one, probability_yes=answers[question]["probability_yes"]))
        elif one.decision == "unjudged":
            found.append(replace(one, remark=_first_error(questions.get(one.negative, {}), answers)))
        else:
            found.append(one)
    return found


def _deciding(one: JudgedLabel) -> int | None:
    """The id of the question whose answer decided, None if no answer did."""
    if one.decision not in ("proper-noun", "subcategory"):
        return None
    return question_id(one.negative, one.id_label if one.decision == "subcategory" else None)


def _open_questions(files: BankFiles, negatives: set[str]) -> dict[str, dict[int, str | None]]:
    """The questions asked of each negative, in order, each with the ID label that it asks about."""
    found: dict[str, dict[int, str | None]] = {}
    if not negatives or not files.has(QUESTIONS_FILE):
        return found
    wanted = pa.array(negatives, pa.string())
    columns = pa.schema([QUESTIONS.field(name) for name in ("question", "negative", "id_label")])
    for table in files.tables(QUESTIONS_FILE, columns):
        for row in table.filter(compute.field("negative").isin(wanted)).to_pylist():
            found.setdefault(row["negative"], {})[row["question"]] = row["id_label"]
    return found


def _answers(files: BankFiles, questions: Iterable[int]) -> dict[int, dict[str, Any]]:
    wanted, found = pa.array(questions, pa.int64()), {}
    for table in files.tables(ANSWERS_FILE, ANSWERS) if len(wanted) else ():
        for row in table.filter(compute.field("question").isin(wanted)).to_pylist():
            found.setdefault(row["question"], row)
    return found


def _first_error(questions: Mapping[int, str | None], answers: Mapping[int, Mapping[str, Any]]) -> str | None:
    for question, label in questions.items():
        answer = answers.get(question)
        if answer is not None and answer["answer"] is None:
            asked = "proper noun?" if label is None else f"subcategory of {label}?"
            return f"{asked} {answer['error'] or 'no answer'}"
    return None
