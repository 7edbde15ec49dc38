"""A comparison as text, Markdown and JSON. Free of torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.reports.comparison.compare import Comparison
from pipelines.reports.comparison.shards import Change, risen
from pipelines.reports.scan.pictures import name_of_kind
from pipelines.reports.scan.verdicts import verdicts_of
from pipelines.reports.tables import Cell, Report, Table

SHOWN = 20
"""Rows of a table in text and Markdown; JSON has all that changed."""
HEADINGS = {
    "broken": "shards that are newly broken",
    "risen": "shards whose flagged share has risen by more than chance",
    "shards": "shards that are new, gone or changed",
    "labels": "labels that appeared or vanished",
    "labels_risen": "labels whose flagged share has risen by more than chance",
    "groups": "groups that appeared or vanished",
    "groups_risen": "groups whose flagged share has risen by more than chance",
}
"""What has changed of shards, labels and groups: its name in JSON, and its heading elsewhere."""


@dataclass(frozen=True)
class ComparisonReport:
    """A comparison, and why it fails, if it does."""

    comparison: Comparison
    failures: Sequence[str]

    def report(self) -> Report:
        """The comparison as tables."""
        found, listed = self.comparison, changes(self.comparison)
        title = f"{found.after.url} against {found.before.url}"
        notes = [sentence(found), *(f"fails: {line}" for line in self.failures)]
        if any((said := verdict_counts(found)).values()):
            notes.insert(1, f"verdicts taken in: {said['after']}, after {said['before']}")
        tables = [_table(f"{heading}: {len(listed[name])}", listed[name]) for name, heading in HEADINGS.items()]
        return Report(title, [self._scores(), self._kinds(), *(table for table in tables if table.rows)], notes)

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON."""
        found = self.comparison
        return {
            "before": found.before.url,
            "after": found.after.url,
            "history": [night.url for night in found.history],
            "deciding": found.after.deciding,
            "more_flagged": found.more_flagged,
            "verdicts": verdict_counts(found),
            "methods": [{**asdict(drift), "alarm": drift.alarm} for drift in found.drifts],
            "new_kinds": [{**asdict(kind), "called": name_of_kind(found.after, kind)} for kind in found.kinds],
            **{name: [_change(one) for one in listed] for name, listed in changes(found).items()},
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


def sentence(found: Comparison, shown: Callable[[float], str] = "{:.2%}".format) -> str:
    """The comparison in one sentence. `shown`: a share as text."""
    deciding = found.deciding
    said = f"{deciding.method} has a threshold in one of the two scans only, or in none"
    if deciding.before is not None and deciding.after is not None:
        now, then = shown(deciding.after), shown(deciding.before)
        said = f"{now} of the images are flagged by {deciding.method}, after {then}"
    counts = {"new kind": len(found.kinds), "newly broken shard": len(found.broken)}
    others = [f"{number} {name}{'' if number == 1 else 's'}" for name, number in counts.items() if number]
    return f"{'; '.join([said, *others])}."


def verdict_counts(found: Comparison) -> dict[str, int]:
    """How many verdicts each of the scans takes in."""
    both = {"before": found.before, "after": found.after}
    return {name: verdicts_of(scan).get("verdicts", 0) for name, scan in both.items()}


def changes(found: Comparison) -> Mapping[str, Sequence[Change]]:
    """What has changed of shards, labels and groups, by the names of `HEADINGS`; the largest or worst first."""
    return {
        "broken": found.broken,
        "risen": risen(found.shards),
        "shards": _changed(found.shards),
        "labels": _changed(found.labels),
        "labels_risen": risen(found.labels),
        "groups": _changed(found.groups),
        "groups_risen": risen(found.groups),
    }


def _changed(listed: Sequence[Change]) -> list[Change]:
    """What is new, gone or changed, the largest first."""
    return sorted(
        (one for one in listed if one.state != "same"), key=lambda one: -max(one.before.scored, one.after.scored)
    )


def _table(heading: str, listed: Sequence[Change]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (one.name, one.state, one.before.scored, one.after.scored, _share(one.before.share), _share(one.after.share),
         one.before.errors, one.after.errors, one.broken)
        for one in listed[:SHOWN]
    ]  # fmt: skip
    header = ("name", "state", "images before", "now", "flagged before", "now", "errors before", "now", "broken")
    return Table(heading, header, rows)


def _change(one: Change) -> dict[str, Any]:
    shares = {"before_share": one.before.share, "after_share": one.after.share}
    return {**asdict(one), **shares, "more": one.more, "chance": one.chance}


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
