"""Why a negative label of one bank is not in another, as far as the other tells. Free of torch."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute

from ood_core.labels import LabelBank
from pipelines.label_banks.judge_tables import DECISION_COLUMNS, DECISIONS_FILE
from pipelines.reports.labels.counts import DECISION_HEADINGS, StageCounts, discrepancy, stage_counts
from pipelines.reports.labels.decisions import JudgedLabel, candidates, explained, is_judged, known, survey
from pipelines.reports.labels.files import BankFiles
from pipelines.storage import Directory

REASONS = {
    **{name: DECISION_HEADINGS[name] for name in ("proper-noun", "same", "subcategory")},
    "id-label": "an ID label",
    "other-spelling": "in another spelling",
    "other-part": "as another part of speech",
    "not-kept": "not kept by the criterion, or not in the corpus",
    "unknown": "no record of why",
}
Key = tuple[str, str]
"""A negative label: its part and its text."""


@dataclass(frozen=True)
class Side:
    """One of the two label banks that are compared, with the counts of its building.

    `discrepancy`: what to say if its judge's tables are of another build.
    """

    files: BankFiles
    bank: LabelBank
    counts: StageCounts
    discrepancy: Sequence[str]

    @classmethod
    def open(cls, called: str, directory: Directory) -> "Side":
        """Reads the bank. `called`: its name on the command line. Raises CallerError if it is no valid bank."""
        files = BankFiles(called, directory)
        bank, labels = files.bank(), files.labels()
        met = survey(files, {})[0] if is_judged(files, bank.info) else None
        return cls(files, bank, stage_counts(bank.info, met, labels), discrepancy(met, labels))

    @cached_property
    def judged(self) -> bool:
        return is_judged(self.files, self.bank.info)

    @property
    def ids(self) -> list[str]:
        return self.bank.texts[: self.bank.id_count]

    @property
    def negatives(self) -> list[Key]:
        first = self.bank.id_count
        return list(zip(self.bank.parts[first:], self.bank.texts[first:], strict=True))

    @cached_property
    def id_texts(self) -> set[str]:
        return set(self.ids)

    @cached_property
    def parts(self) -> dict[str, str]:
        """The part of speech of each negative label, one of them if it has several."""
        return {text: part for part, text in self.negatives}

    def candidates(self, texts: Iterable[str]) -> list[JudgedLabel]:
        """The candidates that were judged as one of the texts, or are spelled so in the corpus."""
        wanted = pa.array(texts, pa.string())
        named = compute.field("negative").isin(wanted) | compute.field("spelled").isin(wanted)
        tables = self.files.tables(DECISIONS_FILE, DECISION_COLUMNS) if self.judged and len(wanted) else ()
        return [one for table in tables for one in candidates(table.filter(named))]


@dataclass(frozen=True)
class Absent:
    """The negative labels that are absent for one reason: how many there are, and the first of them."""

    count: int
    examples: Sequence[JudgedLabel]

    def to_json(self) -> dict[str, Any]:
        return {"count": self.count, "examples": [one.to_json() for one in self.examples]}


def absent(here: Side, there: Side, most: int | None) -> dict[str, Absent]:
    """The negative labels that are only in one bank, by the reason why they are not in the other.

    `most`: how many examples of each reason, None for all; those of the best selection score first.
    """
    missing = _only(here, there)
    spelled = {(one.part, one.negative): one.spelled for one in here.candidates(one.negative for one in missing)}
    missing = [replace(one, spelled=spelled.get((one.part, one.negative), one.negative)) for one in missing]
    counts, kept = Counter[str](), {name: list[tuple[JudgedLabel, JudgedLabel]]() for name in REASONS}
    for one, row in zip(missing, _rows_of(missing, there), strict=True):
        outcome = _outcome(one, row, there)
        counts[outcome.decision] += 1
        if most is None or len(kept[outcome.decision]) < most:
            kept[outcome.decision].append((one, outcome))
    return {name: Absent(counts[name], _examples(there, kept[name])) for name in REASONS if counts[name]}


def _only(here: Side, there: Side) -> list[JudgedLabel]:
    """The negative labels that are only here, as candidates, the one of the best selection score first."""
    others = set(there.negatives)
    scores = here.bank.selection_scores[here.bank.id_count :].tolist()
    only = [
        JudgedLabel(text, text, part, known(score), "kept", None)
        for (part, text), score in zip(here.negatives, scores, strict=True)
        if (part, text) not in others
    ]
    return sorted(only, key=lambda one: one.rank)


def _rows_of(missing: Sequence[JudgedLabel], there: Side) -> Iterator[JudgedLabel | None]:
    """The candidate of the other bank that each label was, by its text or else its spelling; None if it was none."""
    asked: dict[Key, JudgedLabel] = {}
    spelled: dict[Key, JudgedLabel] = {}
    for row in there.candidates({text for one in missing for text in (one.negative, one.spelled)}):
        asked.setdefault((row.part, row.negative), row)
        spelled.setdefault((row.part, row.spelled), row)
    for one in missing:
        keys = (one.part, one.negative), (one.part, one.spelled)
        yield next((table[key] for key in keys for table in (asked, spelled) if key in table), None)


def _outcome(one: JudgedLabel, row: JudgedLabel | None, there: Side) -> JudgedLabel:
    """The label as the other bank decided on it; the decision is the reason why it is absent (`REASONS`)."""
    if row is not None and row.decision in REASONS:
        return row
    if one.negative in there.id_texts:
        return replace(one, decision="id-label")
    if row is not None and row.negative != one.negative:
        return replace(one, decision="other-spelling", remark=f"as {row.negative}")
    if one.negative in there.parts:
        return replace(one, decision="other-part", remark=f"as {there.parts[one.negative]}")
    told = there.judged or there.bank.info.judge.get("name") == "none"
    return replace(one, decision="not-kept" if told and row is None else "unknown")


def _examples(there: Side, kept: Sequence[tuple[JudgedLabel, JudgedLabel]]) -> list[JudgedLabel]:
    """The examples of a reason, with the answers of the other bank's judge and the names and scores of this one."""
    outcomes = explained(there.files, [outcome for _, outcome in kept])
    return [
        replace(outcome, negative=one.negative, spelled=one.spelled, selection_score=one.selection_score)
        for (one, _), outcome in zip(kept, outcomes, strict=True)
    ]
