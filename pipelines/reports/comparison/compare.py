"""Holds two scans against each other: scores, flags, kinds, labels and shards. Free of torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ood_core.drift import jensen_shannon, usual_limit, wasserstein
from pipelines.errors import CallerError
from pipelines.reports.comparison.comparable import check_comparable
from pipelines.reports.comparison.kinds import new_kinds
from pipelines.reports.comparison.limits import Limits
from pipelines.reports.comparison.shards import Change, changed_shards, changed_values
from pipelines.reports.ended import EndedScan
from pipelines.reports.scan.pictures import name_of_kind
from pipelines.reports.tables import visible
from pipelines.scan_directory.breakdown import GROUP, LABEL
from pipelines.scan_directory.columns import flag_column
from pipelines.scan_directory.kinds import Kind

DRIFT = 0.1
"""From this normed Wasserstein distance on scores are said to have drifted, as Evidently has it."""
NAMED = 5
"""The most shards that a message names."""


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
        """Why this is a drift, in words; "" if it is none. Past nights say what is usual; without enough, `DRIFT`."""
        if self.usual is None:
            return f"scores have moved by {self.moved:.2f} standard deviations" if self.moved >= DRIFT else ""
        said = f"Jensen–Shannon distance {self.apart:.3f}, and {self.usual:.3f} is the most to expect by past nights"
        return said if self.apart > self.usual else ""


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
        """That of the method by whose flags images of `after` are kept or dropped."""
        return next(drift for drift in self.drifts if drift.method == self.after.deciding)

    @property
    def more_flagged(self) -> float | None:
        """By how much the share of flagged images has risen; None without flags in one of the scans."""
        before, after = self.deciding.before, self.deciding.after
        return None if before is None or after is None else round(after - before, 12)

    @property
    def broken(self) -> list[Change]:
        """The shards that are newly broken."""
        return [change for change in self.shards if change.broken]

    def failures(self, limits: Limits) -> list[str]:
        """What must not have been found and was, a line each."""
        return [*self._drifted(limits.drift), *self._more_flagged(limits.flagged), *self._new(limits.new_kind),
                *self._newly_broken(limits.broken)]  # fmt: skip

    def _drifted(self, limit: float | None) -> Iterator[str]:
        for drift in self.drifts:
            if limit is not None and drift.moved >= limit:
                yield f"drift: {drift.method} has moved by {drift.moved:.3f} standard deviations, {limit:g} or more"

    def _more_flagged(self, limit: float | None) -> Iterator[str]:
        more = self.more_flagged
        if limit is not None and more is not None and more >= limit:
            yield f"flagged: {more:+.2%} by {self.deciding.method}, {limit:+.2%} or more"

    def _new(self, limit: float | None) -> Iterator[str]:
        for kind in self.kinds:
            if limit is not None and kind.flagged >= limit:
                name = name_of_kind(self.after, kind)
                yield f"new-kind: {kind.flagged} flagged images of {visible(name)}, {limit:g} or more"

    def _newly_broken(self, limit: float | None) -> Iterator[str]:
        if limit is not None and len(self.broken) >= limit:
            named = ", ".join(f"{change.name} ({change.broken})" for change in self.broken[:NAMED])
            more = ", …" if len(self.broken) > NAMED else ""
            yield f"broken: {len(self.broken)} of the shards, {limit:g} or more: {named}{more}"


def compare(before: EndedScan, after: EndedScan, history: Sequence[EndedScan] = ()) -> Comparison:
    """Holds `after` against `before`, by the flags of the method that decides in `after`.

    Raises CallerError if their scores cannot be held against each other: by other methods, label banks or weights.
    """
    for other in (after, *history):
        check_comparable(before, other)
    for scan in (before, after):
        if not scan.scores(after.deciding).total:
            lacks = f"no scores by {after.deciding}, which decides in {after.url!r}"
            raise CallerError(f"{scan.called} {scan.url!r} has {lacks if scan.tally.scored else 'scored nothing'}")
    methods = [name for name in after.methods if before.scores(name).total and after.scores(name).total]
    both_flag = None not in (before.share(after.deciding), after.share(after.deciding))
    flags = flag_column(after.deciding) if both_flag else None
    return Comparison(
        before=before,
        after=after,
        history=history,
        drifts=[_drift(name, before, after, history) for name in methods],
        kinds=new_kinds(before, after, flags) if flags else [],
        shards=changed_shards(before, after, flags),
        labels=changed_values(before, after, LABEL, flags),
        groups=changed_values(before, after, GROUP, flags),
    )


def _drift(method: str, before: EndedScan, after: EndedScan, history: Sequence[EndedScan]) -> Drift:
    then, now = before.scores(method), after.scores(method)
    past = [scores for scores in (night.scores(method) for night in history) if scores.total]
    return Drift(
        method=method,
        moved=wasserstein(then, now),
        apart=jensen_shannon(then, now),
        usual=usual_limit(np.array([jensen_shannon(then, scores) for scores in past])),
        before=before.share(method),
        after=after.share(method),
    )
