"""A comparison as a page. Free of torch."""

from collections.abc import Sequence

from pipelines.reports.comparison.compare import Comparison
from pipelines.reports.comparison.shards import Change
from pipelines.reports.comparison.show import changes, sentence
from pipelines.reports.html import plots
from pipelines.reports.html.blocks import Block, Cell, Column, Gallery, Grid, Plot, Prose, Tone, Value
from pipelines.reports.html.layers import Rule
from pipelines.reports.html.page import Fact, Page, Section, Verdict
from pipelines.reports.html.wording import count, decimal, share
from pipelines.reports.scan.pictures import name_of_kind, pictures, rows_of_kind
from pipelines.reports.scan.plots import binned

KINDS, MOST_ROWS = 12, 500


def comparison_page(found: Comparison, failures: Sequence[str]) -> Page:
    """The page on a comparison, and why it fails, if it does."""
    alarms = [f"{drift.method}: {drift.alarm}" for drift in found.drifts if drift.alarm]
    tone: Tone = "bad" if failures else "warn" if alarms or found.kinds or found.broken else "good"
    said = sentence(found)
    sections = [
        Section("New kinds", "kinds", _kinds(found), "Flagged tonight, and without a counterpart in the scan before."),
        Section("Scores", "scores", [*_distributions(found), _scores(found)]),
        Section("Changes", "changes", [_grid(heading, listed) for heading, listed in changes(found)]),
    ]
    footer = [f"{found.after.url} against {found.before.url}"]
    return Page(
        f"{found.after.name} against {found.before.name}",
        "oodscan compare",
        Verdict(tone, f"{said[0].upper()}{said[1:]}.", " ".join(f"{line}." for line in [*failures, *alarms])),
        _facts(found),
        sections,
        footer,
    )


def _facts(found: Comparison) -> list[Fact]:
    more, risen = found.more_flagged, sum(one.surely_more for one in found.shards)
    states = {state: sum(one.state == state for one in found.shards) for state in ("new", "gone", "changed")}
    moved = found.deciding.moved
    others = ", ".join(f"{count(number)} {state}" for state, number in states.items() if number)
    note = f"after {count(found.before.tally.scored)}" + (f"; shards: {others}" if others else "")
    facts = [Fact("images", count(found.after.tally.scored), note)]
    if more is not None and found.deciding.after is not None and found.deciding.before is not None:
        note = f"{share(found.deciding.after)} after {share(found.deciding.before)} by {found.deciding.method}"
        facts.append(Fact("flagged", f"{'+' if more > 0 else ''}{decimal(100 * more, 1)} points", note))
    drifts: Tone = "warn" if found.deciding.alarm else "good"
    facts += [
        Fact("scores have moved by", f"{decimal(moved, 2)} sd", "0.1 and more is called a drift", drifts),
        Fact("new kinds", count(len(found.kinds)), "", "warn" if found.kinds else "good"),
        Fact("shards with more flags", count(risen), "by more than chance", "warn" if risen else "good"),
        Fact("shards newly broken", count(len(found.broken)), "", "bad" if found.broken else "good"),
    ]
    return facts


def _kinds(found: Comparison) -> list[Block]:
    blocks: list[Block] = []
    for kind in found.kinds[:KINDS]:
        shown = pictures(found.after, rows_of_kind(found.after, kind), found.after.deciding)
        lead = f"{count(kind.flagged)} of {count(kind.images)} images are flagged."
        blocks.append(Gallery(name_of_kind(found.after, kind), shown, lead, max(kind.flagged, len(shown))))
    return blocks or [Prose(["There is none."])]


def _distributions(found: Comparison) -> list[Block]:
    blocks: list[Block] = []
    for drift in found.drifts:
        series = {"tonight": found.after.scores(drift.method), "before": found.before.scores(drift.method)}
        threshold = found.after.thresholds.values.get(drift.method)
        rules = [] if threshold is None else [Rule(threshold, "threshold")]
        drawing = plots.histogram(binned(series), rules, f"score by {drift.method}")
        blocks.append(Plot(drawing, f"Scores by {drift.method}", drift.alarm or "No drift."))
    return blocks


def _scores(found: Comparison) -> Grid:
    columns = [
        Column("method"),
        Column("moved", "Normed Wasserstein distance: by how many standard deviations scores have moved.", "number"),
        Column("apart", "Jensen–Shannon distance, 0 to 1.", "number"),
        Column("usual at most", "By past nights: their mean and three standard deviations.", "number"),
        Column("flagged before", "", "share"), Column("now", "", "share"), Column("alarm"),
    ]  # fmt: skip
    rows = [
        (one.method, one.moved, one.apart, one.usual, one.before, one.after,
         Cell(one.alarm, one.alarm, "warn") if one.alarm else "")
        for one in found.drifts
    ]  # fmt: skip
    return Grid("Drift", columns, rows)


def _grid(heading: str, listed: Sequence[Change]) -> Grid:
    columns = [
        Column("name"), Column("state"), Column("images before", "", "number"), Column("images now", "", "number"),
        Column("flagged before", "", "share"), Column("flagged now", "", "share"),
        Column("errors before", "", "number"), Column("errors now", "", "number"), Column("broken"),
    ]  # fmt: skip
    rows: list[Sequence[Value]] = [
        (one.name, one.state, one.before.scored, one.after.scored, one.before.share, one.after.share,
         one.before.errors, one.after.errors, Cell(one.broken, one.broken, "bad") if one.broken else "")
        for one in listed[:MOST_ROWS]
    ]  # fmt: skip
    return Grid(f"{heading[0].upper()}{heading[1:]}", columns, rows, len(listed))
