"""Nights side by side: quantiles, flags, errors, images/s. Free of torch."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from ood_core.methods import score_column
from pipelines.errors import CallerError
from pipelines.reports.ended import EndedScan, names_of
from pipelines.reports.tables import Report, Table

QUANTILES = ("0.05", "0.5", "0.95")
SHARES = tuple(f"{float(part):.0%}" for part in QUANTILES)
"""How the quantiles are called."""


@dataclass(frozen=True)
class Night:
    """One scan among others. `quantiles`: of the method's scores, by `QUANTILES`; `flagged`, `errors`: shares;
    `differs`: in what its scores are not those of the night before, in words; "" if in nothing."""

    name: str
    scan: str
    images: int
    quantiles: Sequence[float | None]
    threshold: float | None
    flagged: float | None
    errors: float
    images_per_s: float | None
    success: bool
    differs: str

    @classmethod
    def of(cls, scan: EndedScan, name: str, method: str, differs: str) -> "Night":
        quantiles = (scan.summary.get("quantiles") or {}).get(score_column(method)) or {}
        return cls(
            name=name,
            scan=scan.url,
            images=scan.tally.scored,
            quantiles=[quantiles.get(part) for part in QUANTILES],
            threshold=scan.thresholds.values.get(method),
            flagged=scan.share(method),
            errors=scan.tally.bad_fraction,
            images_per_s=(scan.summary.get("last_run") or {}).get("steady_images_per_s"),
            success=bool(scan.summary.get("success")),
            differs=differs,
        )


@dataclass(frozen=True)
class History:
    """Nights in the order given, by one method's scores."""

    method: str
    nights: Sequence[Night]

    def report(self) -> Report:
        """The nights as a table."""
        header = ("night", "images", *SHARES, "threshold", "flagged", "errors", "images/s", "ended", "differs in")
        rows = [
            (one.name, one.images, *one.quantiles, one.threshold, _share(one.flagged), _share(one.errors),
             one.images_per_s and round(one.images_per_s), "well" if one.success else "not well", one.differs)
            for one in self.nights
        ]  # fmt: skip
        return Report("history", [Table(f"scores by {self.method} and what it flags", header, rows)])

    def to_json(self) -> dict[str, Any]:
        """The nights as JSON."""
        nights = [{**asdict(one), "quantiles": dict(zip(QUANTILES, one.quantiles, strict=True))} for one in self.nights]
        return {"method": self.method, "nights": nights}


def history(scans: Sequence[EndedScan], method: str | None = None) -> History:
    """The history of some scans, at least one. `method`: by default the one that decides in the last of them.

    Raises CallerError for a scan that has no scores by it.
    """
    chosen = method or scans[-1].deciding
    for scan in scans:
        if chosen not in scan.record.methods:
            known = ", ".join(scan.record.methods)
            raise CallerError(f"SCAN {scan.url!r} has no scores by {chosen!r}; give --by one of {known}")
    differ = ["", *(_differs(before, after, chosen) for before, after in pairwise(scans))]
    told = zip(scans, names_of(scans), differ, strict=True)
    return History(chosen, [Night.of(scan, name, chosen, differs) for scan, name, differs in told])


def _differs(before: EndedScan, after: EndedScan, method: str) -> str:
    """In what the scores of two scans do not mean the same."""
    weights = [scan.record.identity.get("weights") for scan in (before, after)]
    found = {
        "label bank": before.record.labels_hash != after.record.labels_hash,
        "model": None not in weights and weights[0] != weights[1],
        "parameters": before.record.methods[method] != after.record.methods[method],
    }
    return ", ".join(name for name, differs in found.items() if differs)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
