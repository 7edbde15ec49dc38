"""Shards, labels and groups of two scans held against each other. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ood_core.calibration import share_interval
from pipelines.inputs.readers.record import OF_ARCHIVES
from pipelines.reports.ended import EndedScan
from pipelines.scan_directory.breakdown import IMAGES
from pipelines.scan_directory.columns import flag_column

State = Literal["new", "gone", "changed", "same"]


@dataclass(frozen=True)
class Part:
    """A part of a scan: how many images were scored, how many of them flagged, how many records are in error."""

    scored: int = 0
    flagged: int = 0
    errors: int = 0

    @property
    def share(self) -> float | None:
        """The share that is flagged."""
        return self.flagged / self.scored if self.scored else None


@dataclass(frozen=True)
class Change:
    """A shard, label or group in two scans.

    `usual`: what it is held against: itself before, or the whole scan before where it had no images; `broken`: what
    errors of archives the shard has that it had not before.
    """

    name: str
    state: State
    before: Part
    after: Part
    usual: Part
    broken: str = ""

    @property
    def more(self) -> float:
        """By how much the flagged share is above what is usual; 0 where there is no image now."""
        return 0.0 if self.after.share is None else self.after.share - (self.usual.share or 0.0)

    @property
    def surely_more(self) -> bool:
        """Whether the flagged share has risen by more than chance explains: the intervals do not overlap."""
        usual, now = (share_interval(part.flagged, part.scored) for part in (self.usual, self.after))
        return bool(self.after.scored) and now[0] > usual[1]


def changed_shards(before: EndedScan, after: EndedScan) -> list[Change]:
    """Every shard of the two scans, those first whose flagged share has risen most."""
    planned = [{shard.id: shard.fingerprint for shard in scan.shards} for scan in (before, after)]
    parts, whole, found = [_shards(scan) for scan in (before, after)], _whole(before), []
    for shard in dict.fromkeys([*planned[1], *planned[0]]):
        fingerprints = [plan.get(shard) for plan in planned]
        then, now = (part.get(shard, Part()) for part in parts)
        broken = "" if shard not in planned[1] else _newly_broken(before, after, shard)
        found.append(Change(shard, _state(*fingerprints), then, now, then if then.scored else whole, broken))
    return sorted(found, key=lambda change: (-change.more, change.name))


def changed_values(before: EndedScan, after: EndedScan, by: str) -> list[Change]:
    """Every label or group that images of the two scans have, those first whose flagged share has risen most."""
    parts, whole = [_values(scan, by) for scan in (before, after)], _whole(before)
    changes = []
    for name in sorted(parts[0].keys() | parts[1].keys()):
        then, now = (part.get(name) for part in parts)
        state = _state(*(None if part is None else "" for part in (then, now)))
        usual = then if then and then.scored else whole
        changes.append(Change(name, state, then or Part(), now or Part(), usual))
    return sorted(changes, key=lambda change: (-change.more, change.name))


def _whole(scan: EndedScan) -> Part:
    return Part(scan.tally.scored, scan.tally.flagged[flag_column(scan.deciding)])


def _shards(scan: EndedScan) -> dict[str, Part]:
    flags, parts = flag_column(scan.deciding), {}
    for shard, receipt in scan.receipts.items():
        scored = receipt["statuses"].get("ok", 0)
        parts[shard] = Part(scored, receipt["flagged"].get(flags, 0), receipt["records"] - scored)
    return parts


def _values(scan: EndedScan, by: str) -> dict[str, Part]:
    flags = flag_column(scan.deciding)
    counted: Mapping[str, Mapping[str, int]] = scan.counts(by)
    return {name: Part(of.get(IMAGES, 0), of.get(flags, 0), of.get("errors", 0)) for name, of in counted.items()}


def _newly_broken(before: EndedScan, after: EndedScan, shard: str) -> str:
    """The errors of archives that a shard has now, and had fewer of before, as text."""
    then = before.receipts[shard]["statuses"] if shard in before.receipts else {}
    now = after.receipts[shard]["statuses"]
    return ", ".join(f"{now[status]} {status}" for status in OF_ARCHIVES if now.get(status, 0) > then.get(status, 0))


def _state(before: str | None, after: str | None) -> State:
    if before is None:
        return "new"
    if after is None:
        return "gone"
    return "same" if before == after else "changed"
