"""`oodscan labels show`: a label bank's settings, and its counts at each stage of building. Free of torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute

from ood_core.labels import BankInfo
from ood_core.negfilter.decisions import DECISIONS
from pipelines.errors import CallerError
from pipelines.label_banks.judge_tables import DECISIONS_FILE
from pipelines.reports.labels.counts import (
    DECISION_HEADINGS,
    STAGES,
    StageCounts,
    discrepancy,
    example_table,
    most_shown,
    parts_of,
    stage_counts,
)
from pipelines.reports.labels.decisions import JudgedLabel, best_first, explained, is_judged, known, survey
from pipelines.reports.labels.files import BankFiles
from pipelines.reports.tables import Report, Table
from pipelines.storage import Directory


@dataclass(frozen=True)
class LabelBankReport:
    """A label bank's settings, its counts at each stage of building, and examples of each decision.

    `totals`: how many candidates met each decision.
    """

    url: str
    info: BankInfo
    counts: StageCounts
    examples: Mapping[str, Sequence[JudgedLabel]]
    totals: Mapping[str, int]
    notes: Sequence[str]

    def report(self) -> Report:
        about = [(name, listed(value)) for name, value in settings(self.info).items()]
        about.append(("content hash", self.info.content_hash or "not recorded"))
        headings = DECISION_HEADINGS if len(self.examples) > 1 else {"kept": STAGES["negatives"]}
        parts = list(self.counts["negatives"])
        rows = [(STAGES[stage], *by_part.values(), sum(by_part.values())) for stage, by_part in self.counts.items()]
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
            "steps": self.counts,
            "decisions": found,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class DecisionReport:
    """The candidates of a label bank that met one decision; `total`: how many there are."""

    url: str
    decision: str
    total: int
    candidates: Sequence[JudgedLabel]

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


def show(bank: Directory, examples: int | None = None) -> LabelBankReport:
    """The report on a label bank.

    `examples`: how many candidates of each decision, default 5. Raises CallerError if there is no valid bank.
    """
    most, files = most_shown(examples), BankFiles("BANK", bank)
    labels, info = files.labels(), files.info()
    met, best = None, {"kept": _negatives(labels, most)}
    totals = {"kept": sum(parts_of(labels, "negative").values())}
    if is_judged(files, info):
        met, best = survey(files, dict.fromkeys(DECISION_HEADINGS, most))
        shown = iter(explained(files, [one for of_decision in best.values() for one in of_decision]))
        best = {decision: [next(shown) for _ in of_decision] for decision, of_decision in best.items()}
        totals = {name: sum(count for (met_one, _), count in met.items() if met_one == name) for name in best}
    return LabelBankReport(bank.url, info, stage_counts(info, met, labels), best, totals, discrepancy(met, labels))


def show_decision(bank: Directory, decision: str, examples: int | None = None) -> DecisionReport:
    """The candidates that met a decision, the best first. `examples`: how many, default all.

    Raises CallerError if no judge has decided on this bank.
    """
    if decision not in DECISIONS:
        raise CallerError(f"--decision {decision!r} is unknown; the decisions are {', '.join(DECISIONS)}")
    most, files = most_shown(examples, None), BankFiles("BANK", bank)
    files.labels()
    if not is_judged(files, files.info()):
        raise CallerError(f"--decision {decision!r}: no judge left decisions ({DECISIONS_FILE}) in BANK {bank.url!r}")
    met, best = survey(files, {decision: most})
    total = sum(count for (name, _), count in met.items() if name == decision)
    return DecisionReport(bank.url, decision, total, explained(files, best[decision]))


def settings(info: BankInfo) -> dict[str, Any]:
    """The settings that a bank was built with, by names such as `judge.name`."""
    found: dict[str, Any] = {}
    for name, value in asdict(info).items():
        if name in ("counts", "content_hash") or value is None:
            continue
        found |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
    return found


def listed(value: Any) -> str:
    """A setting as text; of a long list the first few."""
    if value is None:
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value[:3])) + (f", … ({len(value):,} in all)" if len(value) > 3 else "")
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _rows(shown: Sequence[JudgedLabel]) -> list[dict[str, Any]]:
    return [one.to_json() for one in shown]


def _negatives(labels: pa.Table, most: int | None) -> list[JudgedLabel]:
    """The negative labels of a bank that no judge has decided on, those of the best selection score first."""
    chosen = labels.filter(compute.field("role") == "negative")
    if "selection_score" in chosen.column_names:
        chosen = best_first(chosen, most)
    rows = chosen.slice(0, most).to_pylist()
    return [
        JudgedLabel(
            row["text"], row["text"], row.get("part") or "noun", known(row.get("selection_score")), "kept", None
        )
        for row in rows
    ]
