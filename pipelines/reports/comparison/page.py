"""A comparison as a page. Free of torch."""

from collections.abc import Sequence

from pipelines.reports.comparison.compare import DRIFT, Comparison, Drift
from pipelines.reports.comparison.shards import Change, risen
from pipelines.reports.comparison.show import HEADINGS, changes, sentence, verdict_counts
from pipelines.reports.ended import names_of
from pipelines.reports.html.blocks import Block, Cell, Column, Grid, Prose, Tone, Value
from pipelines.reports.html.page import Fact, Page, Section, Verdict
from pipelines.reports.html.wording import count, decimal, share
from pipelines.reports.scan.kinds import gallery
from pipelines.reports.scan.plots import spread
from pipelines.reports.scan.verdict import points

KINDS, PICTURES, MOST_ROWS = 12, 24, 500


def comparison_page(found: Comparison, failures: Sequence[str]) -> Page:
    """The page on a comparison, and why it fails, if it does."""
    after, before = names_of([found.after, found.before])
    lead = "Flagged now, and without a counterpart in the scan before; the most flagged first."
    cut = f" Shown are {KINDS} of {count(len(found.kinds))}." if len(found.kinds) > KINDS else ""
    sections = [
        Section("New kinds", "kinds", _kinds(found), f"{lead}{cut}" if found.kinds else "There is none."),
        Section("Scores", "scores", [*_distributions(found), _scores(found)]),
        Section("Changes", "changes", _changes(found)),
    ]
    kicker = f"oodscan compare of {found.after.url} with {found.before.url}"
    return Page(f"{after} against {before}", kicker, _verdict(found, failures), _facts(found), sections)


def _verdict(found: Comparison, failures: Sequence[str]) -> Verdict:
    alarms = [f"{drift.method}: {drift.alarm}." for drift in found.drifts if drift.alarm]
    tone: Tone = "bad" if failures or found.broken else "warn" if alarms or found.kinds else "good"
    return Verdict(tone, sentence(found, share), " ".join([*(f"Fails: {line}." for line in failures), *alarms]))


def _facts(found: Comparison) -> list[Fact]:
    more, deciding, shards = found.more_flagged, found.deciding, risen(found.shards)
    states = {state: sum(one.state == state for one in found.shards) for state in ("new", "gone", "changed")}
    others = ", ".join(f"{count(number)} {state}" for state, number in states.items() if number)
    note = f"after {count(found.before.tally.scored)}" + (f"; shards: {others}" if others else "")
    facts = [Fact("images", count(found.after.tally.scored), note)]
    if more is not None and deciding.after is not None and deciding.before is not None:
        note = f"{share(deciding.after)} after {share(deciding.before)} by {deciding.method}"
        facts.append(Fact("flagged, in points", points(more), note))
    if any((said := verdict_counts(found)).values()):
        facts.append(Fact("verdicts", count(said["after"]), f"after {count(said['before'])}"))
    return [
        *facts,
        Fact("scores have moved by", f"{decimal(deciding.moved, 2)} sd", *_judged(deciding)),
        Fact("new kinds", count(len(found.kinds)), "", "warn" if found.kinds else "good"),
        Fact("shards with more flags", count(len(shards)), "by more than chance", "warn" if shards else "good"),
        Fact("shards newly broken", count(len(found.broken)), "", "bad" if found.broken else "good"),
    ]


def _judged(drift: Drift) -> tuple[str, Tone]:
    """By what it is told whether scores have drifted, and whether they have."""
    by = f"{DRIFT} and more is a drift" if drift.usual is None else "past nights say what is a drift"
    return by, "warn" if drift.alarm else "good"


def _kinds(found: Comparison) -> list[Block]:
    return [gallery(found.after, kind, PICTURES) for kind in found.kinds[:KINDS]]


def _distributions(found: Comparison) -> list[Block]:
    return [
        spread(
            drift.method,
            {"now": found.after.scores(drift.method), "before": found.before.scores(drift.method)},
            found.after.thresholds.values.get(drift.method),
            f"{drift.alarm[0].upper()}{drift.alarm[1:]}." if drift.alarm else "No drift.",
        )
        for drift in found.drifts
    ]


def _scores(found: Comparison) -> Grid:
    columns = [
        Column("method"),
        Column("moved", "Normed Wasserstein distance: by how many standard deviations scores have moved.", "number"),
        Column("apart", "Jensen–Shannon distance: 0, the same, to 1, nothing in common.", "number"),
        Column("usual at most", "Of `apart`, by past nights: their mean and three standard deviations.", "number"),
        Column("flagged before", "", "share"), Column("flagged now", "", "share"), Column("alarm"),
    ]  # fmt: skip
    rows = [
        (one.method, one.moved, one.apart, one.usual, one.before, one.after,
         Cell(one.alarm, one.alarm, "warn") if one.alarm else "")
        for one in found.drifts
    ]  # fmt: skip
    return Grid("How far scores have moved", columns, rows)


def _changes(found: Comparison) -> list[Block]:
    """A table for whatever has changed."""
    listed = changes(found)
    headings = {name: f"{heading[0].upper()}{heading[1:]}" for name, heading in HEADINGS.items()}
    tables = [_grid(headings[name], listed[name]) for name in HEADINGS if listed[name]]
    nothing = [heading for name, heading in HEADINGS.items() if not listed[name]]
    return [*tables, *([Prose([f"There are no {', no '.join(nothing)}."])] if nothing else [])]


def _grid(heading: str, listed: Sequence[Change]) -> Grid:
    """A table of changes; with columns for errors if there are any."""
    columns = [
        Column("name"), Column("state"), Column("images before", "", "number"), Column("images now", "", "number"),
        Column("flagged before", "", "share"), Column("flagged now", "", "share"),
    ]  # fmt: skip
    rows: list[Sequence[Value]] = [
        (_named(one), one.state, one.before.scored, one.after.scored, one.before.share, one.after.share)
        for one in listed[:MOST_ROWS]
    ]
    if any(one.before.errors or one.after.errors for one in listed):
        columns += [Column("errors before", "", "number"), Column("errors now", "", "number")]
        rows = [(*row, one.before.errors, one.after.errors) for row, one in zip(rows, listed, strict=False)]
    return Grid(heading, columns, rows, len(listed))


def _named(one: Change) -> Cell | str:
    return Cell(one.name or "(none)", one.name, "bad", one.broken) if one.broken else one.name or "(none)"
