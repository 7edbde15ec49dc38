"""How many candidates are left at each stage of building a label bank. Free of torch."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute

from ood_core.labels import BankInfo
from ood_core.negfilter.decisions import DECISIONS
from pipelines.errors import CallerError
from pipelines.label_banks.corpus import PARTS
from pipelines.label_banks.judge_tables import DECISIONS_FILE
from pipelines.reports.labels.decisions import DecisionCounts, JudgedLabel
from pipelines.reports.tables import Table

DECISION_HEADINGS = {
    "proper-noun": "removed: proper noun",
    "same": "removed: same as an ID label",
    "subcategory": "removed: subcategory of an ID label",
    "unjudged": "kept, but unjudged",
    "kept": "kept",
}
STAGES = {
    "id-labels": "ID labels",
    "candidates": "candidates",
    "surviving": "survived the criterion",
    "kept-by-criterion": "kept by the criterion",
    "cleaned": "left by cleaning",
    **{decision: heading for decision, heading in DECISION_HEADINGS.items() if decision != "kept"},
    "negatives": "negative labels",
}
COUNTED = {"candidates": "candidates", "surviving": "surviving", "kept-by-criterion": "kept", "cleaned": "cleaned"}
"""The stages before the judge, with the names that `bank.json` counts them by."""
EXAMPLES = 5

StageCounts = dict[str, dict[str, int]]
"""How many labels there are by stage and part of speech; a stage that nothing is known of is left out."""


def stage_counts(info: BankInfo, met: DecisionCounts | None, labels: pa.Table) -> StageCounts:
    """How many labels a bank had at each stage of building, by part of speech.

    `met`: counts of the judge's decisions, None if it left no table of them; `labels`: the bank's labels.
    """
    met = _counted_decisions(info) if met is None else met
    found = {stage: by_part for stage, name in COUNTED.items() if (by_part := _counted(info, name))}
    for decision in STAGES:
        if met and decision in DECISIONS:
            found[decision] = {part: count for (name, part), count in met.items() if name == decision}
    found |= {"id-labels": parts_of(labels, "id"), "negatives": parts_of(labels, "negative")}
    every = {part for by_part in found.values() for part in by_part}
    parts = [*(part for part in PARTS if part in every), *sorted(every - set(PARTS))]
    return {stage: {part: found[stage].get(part, 0) for part in parts} for stage in STAGES if stage in found}


def parts_of(labels: pa.Table, role: str) -> dict[str, int]:
    """How many labels of a role there are by part of speech; noun where the bank names none."""
    chosen = labels.filter(compute.field("role") == role)
    if "part" not in chosen.column_names:
        return {"noun": len(chosen)} if len(chosen) else {}
    return dict(Counter(part or "noun" for part in chosen["part"].to_pylist()))


def discrepancy(met: DecisionCounts | None, labels: pa.Table) -> list[str]:
    """A note if the judge's tables are of another build than the bank; none if they agree."""
    staying = None if met is None else sum(count for (name, _), count in met.items() if name in ("kept", "unjudged"))
    there = sum(parts_of(labels, "negative").values())
    if staying in (None, there):
        return []
    return [f"{DECISIONS_FILE} is not of this bank: it keeps {staying:,} negative labels, and the bank has {there:,}."]


def example_table(heading: str, count: int, shown: Sequence[JudgedLabel]) -> Table:
    """A table of candidates with the reasons of their decisions; columns without any value are left out."""
    columns: dict[str, list[Any]] = {
        "label": [one.negative for one in shown],
        "in the corpus": [one.spelled if one.spelled != one.negative else None for one in shown],
        "part": [one.part for one in shown],
        "selection score": [one.selection_score for one in shown],
        "why": [one.why or None for one in shown],
        "P(yes)": [one.probability_yes for one in shown],
    }
    columns = {name: cells for name, cells in columns.items() if any(cell is not None for cell in cells)}
    return Table(counted(heading, count, len(shown)), list(columns), list(zip(*columns.values(), strict=True)))


def counted(heading: str, count: int, shown: int) -> str:
    """The heading with how many there are, and how many of them are shown."""
    return f"{heading} ({count:,})" if shown == count else f"{heading} ({count:,}, the first {shown:,})"


def most_shown(examples: int | None, default: int | None = EXAMPLES) -> int | None:
    """How many examples to show, None for all. Raises CallerError for a number below 0."""
    if examples is not None and examples < 0:
        raise CallerError(f"--examples {examples} is below 0; it is how many labels to show of each kind")
    return default if examples is None else examples


def _counted(info: BankInfo, name: str) -> dict[str, int]:
    return {part: info.counts[f"{name}_{part}"] for part in PARTS if f"{name}_{part}" in info.counts}


def _counted_decisions(info: BankInfo) -> DecisionCounts:
    names: Iterable[str] = DECISIONS
    return {
        (decision, part): count
        for decision in names
        for part, count in _counted(info, f"judged_{decision.replace('-', '_')}").items()
    }
