"""Shards, labels and groups of two scans held against each other. Free of torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pipelines.inputs.readers.record import OF_ARCHIVES
from pipelines.reports.comparison.chance import RARE, chance_of_more
from pipelines.reports.ended import EndedScan
from pipelines.scan_directory.breakdown import ERRORS, IMAGES, OTHERS

State = Literal["new", "gone", "changed", "same"]


@dataclass(frozen=True)
class Part:
    """A part of a scan: how many images were scored, how many of them flagged, how many records are in error.

    `flagged`: None where the flags of the two scans cannot be compared.
    """

    scored: int = 0
    flagged: int | None = 0
    errors: int = 0

    @property
    def share(self) -> float | None:
        """The share that is flagged."""
        return None if self.flagged is None or not self.scored else self.flagged / self.scored


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
        """By how much the flagged share is above what is usual; 0 where there is no share to compare."""
        return 0.0 if self.after.share is None or self.usual.share is None else self.after.share - self.usual.share

    @cached_property
    def chance(self) -> float:
        """The probability that chance alone has so many flagged; 1 where there are not more than usual."""
        if self.usual.flagged is None or self.after.flagged is None:
            return 1.0
        return chance_of_more((self.usual.flagged, self.usual.scored), (self.after.flagged, self.after.scored))


def risen(changes: Sequence[Change]) -> list[Change]:
    """The changes whose flagged share has risen by more than chance explains, as many as they are (`RARE`)."""
    return [change for change in changes if change.chance * len(changes) < RARE]


def changed_shards(before: EndedScan, after: EndedScan, flags: str | None) -> list[Change]:
    """Every shard of the two scans, those first whose flagged share has risen most.

    `flags`: the column of flags; None if those of the two scans cannot be compared.
    """
    planned = [{shard.id: shard.fingerprint for shard in scan.shards} for scan in (before, after)]
    parts, whole, found = [_shards(scan, flags) for scan in (before, after)], _whole(before, flags), []
    for shard in dict.fromkeys([*planned[1], *planned[0]]):
        fingerprints = [plan.get(shard) for plan in planned]
        then, now = (part.get(shard, Part()) for part in parts)
        broken = "" if shard not in planned[1] else _newly_broken(before, after, shard)
        found.append(Change(shard, _state(*fingerprints), then, now, then if then.scored else whole, broken))
    return sorted(found, key=lambda change: (-change.more, change.name))


def changed_values(before: EndedScan, after: EndedScan, by: str, flags: str | None) -> list[Change]:
    """Every label or group that images of the two scans have, those first whose flagged share has risen most."""
    parts, whole = [_values(scan, by, flags) for scan in (before, after)], _whole(before, flags)
    changes = []
    for name in sorted(parts[0].keys() | parts[1].keys()):
        then, now = (part.get(name) for part in parts)
        state = _state(*(None if part is None else "" for part in (then, now)))
        usual = then if then and then.scored else whole
        changes.append(Change(name, state, then or Part(), now or Part(), usual))
    return sorted(changes, key=lambda change: (-change.more, change.name))


def _whole(scan: EndedScan, flags: str | None) -> Part:
    return Part(scan.tally.scored, _flagged(scan.tally.flagged, flags))


def _shards(scan: EndedScan, flags: str | None) -> dict[str, Part]:
    parts = {}
    for shard, receipt in scan.receipts.items():
        scored = receipt["statuses"].get("ok", 0)
        parts[shard] = Part(scored, _flagged(receipt["flagged"], flags), receipt["records"] - scored)
    return parts


def _values(scan: EndedScan, by: str, flags: str | None) -> dict[str, Part]:
    return {
        name: Part(of.get(IMAGES, 0), _flagged(of, flags), of.get(ERRORS, 0))
        for name, of in scan.counts(by).items()
        if name != OTHERS
    }


def _flagged(counts: Mapping[str, int], flags: str | None) -> int | None:
    return None if flags is None else counts.get(flags, 0)


def _newly_broken(before: EndedScan, after: EndedScan, shard: str) -> str:
    """The errors of archives of which a shard has more now than before, as text."""
    then = before.receipts[shard]["statuses"] if shard in before.receipts else {}
    now = after.receipts[shard]["statuses"]
    return ", ".join(f"{now[status]} {status}" for status in OF_ARCHIVES if now.get(status, 0) > then.get(status, 0))


def _state(before: str | None, after: str | None) -> State:
    if before is None:
        return "new"
    if after is None:
        return "gone"
    return "same" if before == after else "changed"
