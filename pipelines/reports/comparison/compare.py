"""Holds two scans against each other: scores, flags, kinds, labels and shards. Free of torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ood_core.drift import jensen_shannon, usual_limit, wasserstein
from pipelines.errors import CallerError
from pipelines.reports.comparison.kinds import new_kinds
from pipelines.reports.comparison.limits import Limits
from pipelines.reports.comparison.shards import Change, changed_shards, changed_values
from pipelines.reports.ended import EndedScan
from pipelines.scan_directory.breakdown import GROUP, LABEL
from pipelines.scan_directory.kinds import Kind

DRIFT = 0.1
"""From this normed Wasserstein distance on scores are said to have drifted, as Evidently has it."""


@dataclass(frozen=True)
class Drift:
    """How far a method's scores have moved, and the shares that it flags.

    `moved`: the normed Wasserstein distance; `apart`: the Jensen–Shannon distance; `usual`: the most that it is by past
    nights, if there are enough; `before`, `after`: the shares flagged, None without a threshold.
    """

    method: str
    moved: float
    apart: float
    usual: float | None
    before: float | None
    after: float | None

    @property
    def alarm(self) -> str:
        """Why this is a drift, in words; "" if it is none."""
        if self.usual is not None and self.apart > self.usual:
            return (
                f"Jensen–Shannon distance {self.apart:.3f}, and by past nights {self.usual:.3f} is the most to expect"
            )
        return f"scores have moved by {self.moved:.2f} standard deviations" if self.moved >= DRIFT else ""


@dataclass(frozen=True)
class Comparison:
    """Two scans held against each other. `history`: the nights before these."""

    before: EndedScan
    after: EndedScan
    history: Sequence[EndedScan]
    drifts: Sequence[Drift]
    kinds: Sequence[Kind]
    shards: Sequence[Change]
    labels: Sequence[Change]
    groups: Sequence[Change]

    @property
    def deciding(self) -> Drift:
        """That of the method by whose flags images are kept or dropped."""
        return next(drift for drift in self.drifts if drift.method == self.after.deciding)

    @property
    def more_flagged(self) -> float | None:
        """By how much the share of flagged images has risen; None without flags in one of the scans."""
        before, after = self.deciding.before, self.deciding.after
        return None if before is None or after is None else after - before

    @property
    def broken(self) -> list[Change]:
        """The shards that are newly broken."""
        return [change for change in self.shards if change.broken]

    def failures(self, limits: Limits) -> list[str]:
        """What must not have been found, a line each."""
        found = [
            f"drift: {drift.method} has moved by {drift.moved:.3f} standard deviations, {limits.drift:g} or more"
            for drift in self.drifts
            if limits.drift is not None and drift.moved >= limits.drift
        ]
        more = self.more_flagged
        if limits.flagged is not None and more is not None and more >= limits.flagged:
            found.append(f"flagged: {more:+.2%} by {self.deciding.method}, {limits.flagged:+.2%} or more")
        for kind in self.kinds:
            if limits.new_kind is not None and kind.flagged >= limits.new_kind:
                found.append(
                    f"new-kind: {kind.flagged} flagged images of {kind.by} {kind.value}, {limits.new_kind:g} or more"
                )
        if limits.broken is not None and len(self.broken) >= limits.broken:
            named = ", ".join(f"{change.name} ({change.broken})" for change in self.broken)
            found.append(f"broken: {len(self.broken)} shards, {limits.broken:g} or more: {named}")
        return found


def compare(before: EndedScan, after: EndedScan, history: Sequence[EndedScan] = ()) -> Comparison:
    """Holds `after` against `before`.

    Raises CallerError if their scores cannot be held against each other: by other methods, label banks or weights.
    """
    for other in (after, *history):
        _check_comparable(before, other)
    methods = [name for name in after.record.methods if name in before.record.methods]
    if after.deciding not in methods:
        raise CallerError(
            f"{after.called} {after.url!r} is decided by {after.deciding}, which {before.called} {before.url!r} has no "
            "scores by"
        )
    return Comparison(
        before=before,
        after=after,
        history=history,
        drifts=[_drift(name, before, after, history) for name in methods],
        kinds=new_kinds(before, after),
        shards=changed_shards(before, after),
        labels=changed_values(before, after, LABEL),
        groups=changed_values(before, after, GROUP),
    )


def _drift(method: str, before: EndedScan, after: EndedScan, history: Sequence[EndedScan]) -> Drift:
    then, now = before.scores(method), after.scores(method)
    past = [jensen_shannon(then, night.scores(method)) for night in history if method in night.record.methods]
    return Drift(
        method=method,
        moved=wasserstein(then, now),
        apart=jensen_shannon(then, now),
        usual=usual_limit(np.array(past)),
        before=before.share(method),
        after=after.share(method),
    )


def _check_comparable(before: EndedScan, other: EndedScan) -> None:
    pair = f"{before.called} {before.url!r} and {other.called} {other.url!r}"
    for scan in (before, other):
        if not scan.tally.scored:
            raise CallerError(f"{scan.called} {scan.url!r} has scored nothing")
    if before.record.labels_hash != other.record.labels_hash:
        raise CallerError(f"{pair} were made with different label banks")
    then, now = (scan.record.identity.get("weights") for scan in (before, other))
    if then and now and then != now:
        raise CallerError(f"{pair} are by different models: their weights are {then[:12]}… and {now[:12]}…")
    for name in before.record.methods.keys() & other.record.methods.keys():
        if before.record.methods[name] != other.record.methods[name]:
            raise CallerError(f"{pair} were scored by {name} with different parameters")
    if not before.record.methods.keys() & other.record.methods.keys():
        raise CallerError(f"{pair} have no method in common")
