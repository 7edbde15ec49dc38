"""`oodscan labels show`: what a label bank is, and what went at each step on the way to it. Free of torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute

from ood_core.labels import BankInfo
from ood_core.negfilter.decisions import DECISIONS
from pipelines.errors import CallerError
from pipelines.label_banks.judge_tables import DECISIONS_FILE
from pipelines.reports.labels.decisions import Candidate, best_first, explained, is_judged, known, survey
from pipelines.reports.labels.files import BankFiles
from pipelines.reports.labels.steps import (
    DECISION_HEADINGS,
    STEPS,
    Steps,
    discrepancy,
    example_table,
    most_shown,
    parts_of,
    steps,
)
from pipelines.reports.tables import Report, Table
from pipelines.storage import Directory


@dataclass(frozen=True)
class Shown:
    """A bank, its steps, and examples by decision, of which `totals` counts all."""

    url: str
    info: BankInfo
    steps: Steps
    examples: Mapping[str, Sequence[Candidate]]
    totals: Mapping[str, int]
    notes: Sequence[str]

    def report(self) -> Report:
        about = [(name, listed(value)) for name, value in settings(self.info).items()]
        about.append(("content hash", self.info.content_hash or "not recorded"))
        headings = DECISION_HEADINGS if len(self.examples) > 1 else {"kept": STEPS["negatives"]}
        parts = list(self.steps["negatives"])
        rows = [(STEPS[step], *by_part.values(), sum(by_part.values())) for step, by_part in self.steps.items()]
        tables = [Table("what it is", ("setting", "value"), about), Table("steps", ("labels", *parts, "total"), rows)]
        tables += [
            example_table(headings[name], self.totals[name], shown) for name, shown in self.examples.items() if shown
        ]
        return Report(f"label bank {self.url}", tables, self.notes)

    def to_json(self) -> dict[str, Any]:
        found = {name: {"count": self.totals[name], "examples": _rows(shown)} for name, shown in self.examples.items()}
        return {
            "bank": self.url,
            **asdict(self.info),
            "steps": self.steps,
            "decisions": found,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class OfOneDecision:
    """The candidates of a bank that met one decision."""

    url: str
    decision: str
    total: int
    candidates: Sequence[Candidate]

    def report(self) -> Report:
        return Report(
            f"label bank {self.url}", [example_table(DECISION_HEADINGS[self.decision], self.total, self.candidates)]
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "bank": self.url,
            "decision": self.decision,
            "count": self.total,
            "candidates": _rows(self.candidates),
        }


def show(bank: Directory, examples: int | None = None) -> Shown:
    """Raises CallerError if there is no valid bank. `examples`: how many candidates of each decision, default 5."""
    most, files = most_shown(examples), BankFiles("BANK", bank)
    labels, info = files.labels(), files.info()
    met, best = None, {"kept": _negatives(labels, most)}
    totals = {"kept": sum(parts_of(labels, "negative").values())}
    if is_judged(files, info):
        met, best = survey(files, dict.fromkeys(DECISION_HEADINGS, most))
        shown = iter(explained(files, [one for of_one in best.values() for one in of_one]))
        best = {decision: [next(shown) for _ in of_one] for decision, of_one in best.items()}
        totals = {name: sum(count for (met_one, _), count in met.items() if met_one == name) for name in best}
    return Shown(bank.url, info, steps(info, met, labels), best, totals, discrepancy(met, labels))


def show_decision(bank: Directory, decision: str, examples: int | None = None) -> OfOneDecision:
    """All candidates that met a decision, or so many of the best. Raises CallerError if there are no decisions."""
    if decision not in DECISIONS:
        raise CallerError(f"--decision {decision!r} is unknown; the decisions are {', '.join(DECISIONS)}")
    most, files = most_shown(examples, None), BankFiles("BANK", bank)
    files.labels()
    if not is_judged(files, files.info()):
        raise CallerError(f"--decision {decision!r}: no judge left decisions ({DECISIONS_FILE}) in BANK {bank.url!r}")
    met, best = survey(files, {decision: most})
    total = sum(count for (name, _), count in met.items() if name == decision)
    return OfOneDecision(bank.url, decision, total, explained(files, best[decision]))


def settings(info: BankInfo) -> dict[str, Any]:
    """All that was chosen for a bank, one level deep, `judge.name` and its like."""
    found: dict[str, Any] = {}
    for name, value in asdict(info).items():
        if name in ("counts", "content_hash") or value is None:
            continue
        found |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
    return found


def listed(value: Any) -> str:
    """A setting in a few words."""
    if value is None:
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value[:3])) + (f", … ({len(value):,} in all)" if len(value) > 3 else "")
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _rows(shown: Sequence[Candidate]) -> list[dict[str, Any]]:
    return [one.to_json() for one in shown]


def _negatives(labels: pa.Table, most: int | None) -> list[Candidate]:
    """The best negative labels of a bank that no judge has seen."""
    chosen = labels.filter(compute.field("role") == "negative")
    if "selection_score" in chosen.column_names:
        chosen = best_first(chosen, most)
    rows = chosen.slice(0, most).to_pylist()
    return [
        Candidate(row["text"], row["text"], row.get("part") or "noun", known(row.get("selection_score")), "kept", None)
        for row in rows
    ]
