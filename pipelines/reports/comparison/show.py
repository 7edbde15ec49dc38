"""A comparison as text, Markdown and JSON. Free of torch."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.reports.comparison.compare import Comparison
from pipelines.reports.comparison.shards import Change
from pipelines.reports.scan.pictures import name_of_kind
from pipelines.reports.tables import Cell, Report, Table

SHOWN = 20
"""Rows of a table in text and Markdown; JSON has all that changed."""


@dataclass(frozen=True)
class ComparisonReport:
    """A comparison, and why it fails, if it does."""

    comparison: Comparison
    failures: Sequence[str]

    def report(self) -> Report:
        """The comparison as tables."""
        found = self.comparison
        title = f"{found.after.url} against {found.before.url}"
        notes = [sentence(found), *(f"fails: {line}" for line in self.failures)]
        tables = [self._scores(), self._kinds(), *(_table(*one) for one in changes(found) if one[1])]
        return Report(title, tables, notes)

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON."""
        found = self.comparison
        return {
            "before": found.before.url,
            "after": found.after.url,
            "history": [night.url for night in found.history],
            "deciding": found.after.deciding,
            "more_flagged": found.more_flagged,
            "methods": [{**asdict(drift), "alarm": drift.alarm} for drift in found.drifts],
            "new_kinds": [{**asdict(kind), "called": name_of_kind(found.after, kind)} for kind in found.kinds],
            **{name: [_change(one) for one in listed] for name, listed in _named(found).items()},
            "failures": list(self.failures),
        }

    def _scores(self) -> Table:
        header = ("method", "moved (sd)", "Jensen–Shannon", "usual at most", "flagged before", "flagged now", "alarm")
        rows = [
            (one.method, one.moved, one.apart, one.usual, _share(one.before), _share(one.after), one.alarm)
            for one in self.comparison.drifts
        ]
        return Table("scores", header, rows)

    def _kinds(self) -> Table:
        after = self.comparison.after
        rows = [(name_of_kind(after, kind), kind.images, kind.flagged) for kind in self.comparison.kinds[:SHOWN]]
        heading = f"kinds that are new and flagged: {len(self.comparison.kinds)}"
        return Table(heading, ("kind", "images", "flagged") if rows else (), rows)


def sentence(found: Comparison) -> str:
    """The comparison in one sentence."""
    deciding, more = found.deciding, found.more_flagged
    if more is None:
        said = f"{found.deciding.method} flags nothing in one of the two scans"
    else:
        said = (
            f"{_share(deciding.after)} of the images are flagged by {deciding.method}, after {_share(deciding.before)}"
        )
    counts = {"new kinds": len(found.kinds), "newly broken shards": len(found.broken)}
    others = [f"{number} {name}" for name, number in counts.items() if number]
    return "; ".join([said, *others])


def changes(found: Comparison) -> list[tuple[str, list[Change]]]:
    """What has changed of shards, labels and groups, with a heading each."""
    named = _named(found)
    return [
        ("shards that are newly broken", named["broken"]),
        ("shards whose flagged share has risen by more than chance", named["risen"]),
        ("shards that are new, gone or changed", named["shards"]),
        ("labels that appeared or vanished", named["labels"]),
        ("labels whose flagged share has risen by more than chance", named["labels_risen"]),
        ("groups whose flagged share has risen by more than chance", named["groups_risen"]),
    ]


def _named(found: Comparison) -> dict[str, list[Change]]:
    return {
        "broken": found.broken,
        "risen": [one for one in found.shards if one.surely_more],
        "shards": [one for one in found.shards if one.state != "same"],
        "labels": [one for one in found.labels if one.state != "same"],
        "labels_risen": [one for one in found.labels if one.surely_more],
        "groups_risen": [one for one in found.groups if one.surely_more],
    }


def _table(heading: str, listed: Sequence[Change]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (one.name, one.state, one.before.scored, one.after.scored, _share(one.before.share), _share(one.after.share),
         one.before.errors, one.after.errors, one.broken)
        for one in listed[:SHOWN]
    ]  # fmt: skip
    header = ("name", "state", "images before", "now", "flagged before", "now", "errors before", "now", "broken")
    return Table(f"{heading}: {len(listed)}", header, rows)


def _change(one: Change) -> dict[str, Any]:
    return {**asdict(one), "before_share": one.before.share, "after_share": one.after.share, "more": one.more}


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
