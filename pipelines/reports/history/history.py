"""Nights side by side: quantiles, flags, errors, images/s. Free of torch."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ood_core.methods import score_column
from pipelines.errors import CallerError
from pipelines.reports.ended import EndedScan
from pipelines.reports.tables import Report, Table

QUANTILES = ("0.05", "0.5", "0.95")


@dataclass(frozen=True)
class Night:
    """One scan among others. `quantiles`: of the method's scores, by `QUANTILES`; `flagged`, `errors`: shares."""

    name: str
    scan: str
    images: int
    quantiles: Sequence[float | None]
    threshold: float | None
    flagged: float | None
    errors: float
    images_per_s: float | None
    success: bool

    @classmethod
    def of(cls, scan: EndedScan, method: str) -> "Night":
        quantiles = (scan.summary.get("quantiles") or {}).get(score_column(method)) or {}
        return cls(
            name=scan.name,
            scan=scan.url,
            images=scan.tally.scored,
            quantiles=[quantiles.get(share) for share in QUANTILES],
            threshold=scan.thresholds.values.get(method),
            flagged=scan.share(method),
            errors=scan.tally.bad_fraction,
            images_per_s=(scan.summary.get("last_run") or {}).get("steady_images_per_s"),
            success=bool(scan.summary.get("success")),
        )


@dataclass(frozen=True)
class History:
    """Nights in the order given, by one method's scores."""

    method: str
    nights: Sequence[Night]

    def report(self) -> Report:
        """The nights as a table."""
        header = ("night", "images", *(f"{float(share):.0%}" for share in QUANTILES), "threshold", "flagged", "errors",
                  "images/s", "ended")  # fmt: skip
        rows = [
            (one.name, one.images, *one.quantiles, one.threshold, _share(one.flagged), _share(one.errors),
             one.images_per_s, "well" if one.success else "not well")
            for one in self.nights
        ]  # fmt: skip
        return Report("history", [Table(f"scores by {self.method} and what it flags", header, rows)])

    def to_json(self) -> dict[str, Any]:
        """The nights as JSON."""
        nights = [{**asdict(one), "quantiles": dict(zip(QUANTILES, one.quantiles, strict=True))} for one in self.nights]
        return {"method": self.method, "nights": nights}


def history(scans: Sequence[EndedScan], method: str | None = None) -> History:
    """The history of some scans. `method`: by default the one that decides in the last of them.

    Raises CallerError for a scan that has no scores by it.
    """
    chosen = method or scans[-1].deciding
    for scan in scans:
        if chosen not in scan.record.methods:
            known = ", ".join(scan.record.methods)
            raise CallerError(f"SCAN {scan.url!r} has no scores by {chosen}; give --by one of {known}")
    return History(chosen, [Night.of(scan, chosen) for scan in scans])


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
