"""Whether the scores of two scans mean the same."""

from pipelines.errors import CallerError
from pipelines.reports.ended import EndedScan


def check_comparable(before: EndedScan, other: EndedScan) -> None:
    """Raises CallerError, naming the first difference, for scans by other label banks, weights or parameters."""
    pair = f"{before.called} {before.url!r} and {other.called} {other.url!r}"
    if before.record.labels_hash != other.record.labels_hash:
        raise CallerError(f"{pair} were made with different label banks")
    then, now = (scan.record.identity.get("weights") for scan in (before, other))
    if then and now and then != now:
        raise CallerError(f"{pair} are by different models: their weights are {then[:12]}… and {now[:12]}…")
    for name, parameters in other.record.methods.items():
        if before.record.methods.get(name, parameters) != parameters:
            said = f"{before.record.methods[name]} and {parameters}"
            raise CallerError(f"{pair} were scored by {name} with different parameters: {said}")
