"""How many candidates are left at each step on the way to a label bank, and what went. Free of torch."""

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
from pipelines.reports.labels.decisions import Candidate, Met
from pipelines.reports.tables import Table

DECISION_HEADINGS = {
    "proper-noun": "removed: proper noun",
    "same": "removed: same as an ID label",
    "subcategory": "removed: subcategory of an ID label",
    "unjudged": "kept, but unjudged",
    "kept": "kept",
}
STEPS = {
    "id-labels": "ID labels",
    "candidates": "candidates",
    "surviving": "survived the criterion",
    "kept-by-criterion": "kept by the criterion",
    "cleaned": "left by cleaning",
    **{decision: heading for decision, heading in DECISION_HEADINGS.items() if decision != "kept"},
    "negatives": "negative labels",
}
COUNTED = {"candidates": "candidates", "surviving": "surviving", "kept-by-criterion": "kept", "cleaned": "cleaned"}
"""Steps before the judge, with the name that `bank.json` counts them by."""
EXAMPLES = 5

Steps = dict[str, dict[str, int]]
"""By step and part. A step that nothing is known of is not there."""


def steps(info: BankInfo, met: Met | None, labels: pa.Table) -> Steps:
    """`met`: the decisions, None where there is no table of them; `labels`: roles, and parts if known."""
    met = _counted_decisions(info) if met is None else met
    found = {step: by_part for step, name in COUNTED.items() if (by_part := _counted(info, name))}
    for decision in STEPS:
        if met and decision in DECISIONS:
            found[decision] = {part: count for (name, part), count in met.items() if name == decision}
    found |= {"id-labels": parts_of(labels, "id"), "negatives": parts_of(labels, "negative")}
    every = {part for by_part in found.values() for part in by_part}
    parts = [*(part for part in PARTS if part in every), *sorted(every - set(PARTS))]
    return {step: {part: found[step].get(part, 0) for part in parts} for step in STEPS if step in found}


def parts_of(labels: pa.Table, role: str) -> dict[str, int]:
    """How many labels of a role each part has; a label is a noun where nothing else is said."""
    chosen = labels.filter(compute.field("role") == role)
    if "part" not in chosen.column_names:
        return {"noun": len(chosen)} if len(chosen) else {}
    return dict(Counter(part or "noun" for part in chosen["part"].to_pylist()))


def discrepancy(met: Met | None, labels: pa.Table) -> list[str]:
    """What to say if the judge's tables were left by another build."""
    staying = None if met is None else sum(count for (name, _), count in met.items() if name in ("kept", "unjudged"))
    there = sum(parts_of(labels, "negative").values())
    if staying in (None, there):
        return []
    return [f"{DECISIONS_FILE} is not of this bank: it keeps {staying:,} negative labels, and the bank has {there:,}."]


def example_table(heading: str, count: int, shown: Sequence[Candidate]) -> Table:
    """Candidates with why they went, or stayed without judgement; columns that say nothing are left out."""
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
    return f"{heading} ({count:,})" if shown == count else f"{heading} ({count:,}, the first {shown:,})"


def most_shown(examples: int | None, default: int | None = EXAMPLES) -> int | None:
    """How many examples to show; None: all. Raises CallerError for a number below 0."""
    if examples is not None and examples < 0:
        raise CallerError(f"--examples {examples} is below 0; it is how many labels to show of each kind")
    return default if examples is None else examples


def _counted(info: BankInfo, name: str) -> dict[str, int]:
    return {part: info.counts[f"{name}_{part}"] for part in PARTS if f"{name}_{part}" in info.counts}


def _counted_decisions(info: BankInfo) -> Met:
    names: Iterable[str] = DECISIONS
    return {
        (decision, part): count
        for decision in names
        for part, count in _counted(info, f"judged_{decision.replace('-', '_')}").items()
    }
