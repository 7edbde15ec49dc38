"""A history as a page. Free of torch."""

from pipelines.reports.history.history import QUANTILES, History
from pipelines.reports.html import plots
from pipelines.reports.html.blocks import Cell, Column, Grid, Plot, Value
from pipelines.reports.html.page import Fact, Page, Section, Verdict
from pipelines.reports.html.wording import count, share

SHARES = [f"{float(part):.0%}" for part in QUANTILES]


def history_page(found: History) -> Page:
    """The page on some nights."""
    nights, last = found.nights, found.nights[-1]
    names = [night.name for night in nights]
    flagged = "nothing" if last.flagged is None else share(last.flagged)
    scores = {
        f"{float(part):.0%}": [night.quantiles[place] for night in nights] for place, part in enumerate(QUANTILES)
    }
    shares = {"flagged": [night.flagged for night in nights], "errors": [night.errors for night in nights]}
    blocks = [
        Plot(plots.lines(names, shares, "share of images", kind="share"), "Flagged and in error", "Night by night."),
        Plot(
            plots.lines(names, scores, f"score by {found.method}"),
            "Scores",
            "Below these lie 5, 50 and 95 % of images.",
        ),
        _grid(found),
    ]
    verdict = Verdict(
        "good" if last.success else "bad", f"{flagged} of the images of {last.name} are flagged by {found.method}."
    )
    facts = [Fact("nights", count(len(nights))), Fact("images", count(last.images), f"in {last.name}")]
    return Page("History", "oodscan history", verdict, facts, [Section("Nights", "nights", blocks)])


def _grid(found: History) -> Grid:
    columns = [
        Column("night"), Column("images", "", "number"),
        *(Column(name, f"Below it lie {name} of the scores.", "number") for name in SHARES),
        Column("threshold", "", "number"), Column("flagged", "", "share"), Column("errors", "", "share"),
        Column("images/s", "", "number"), Column("ended"),
    ]  # fmt: skip
    rows: list[tuple[Value, ...]] = [
        (one.name, one.images, *one.quantiles, one.threshold, one.flagged, one.errors, one.images_per_s,
         "well" if one.success else Cell("not well", "not well", "bad"))
        for one in found.nights
    ]  # fmt: skip
    return Grid("Night by night", columns, rows)
