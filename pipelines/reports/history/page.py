"""A history as a page. Free of torch."""

from pipelines.reports.history.history import SHARES, History
from pipelines.reports.html import plots
from pipelines.reports.html.blocks import Cell, Column, Grid, Plot, Tone, Value
from pipelines.reports.html.page import Fact, Page, Section, Verdict
from pipelines.reports.html.wording import count, share
from pipelines.reports.scan.verdict import counted


def history_page(found: History) -> Page:
    """The page on some nights."""
    nights, names = found.nights, [night.name for night in found.nights]
    scores = {name: [night.quantiles[place] for night in nights] for place, name in enumerate(SHARES)}
    shares = {"flagged": [night.flagged for night in nights], "errors": [night.errors for night in nights]}
    shares_of = "The share of the images that is flagged, and of the records that has no score."
    below = f"Below these scores lie {', '.join(SHARES[:-1])} and {SHARES[-1]} of the images."
    blocks = [
        Plot(plots.lines(names, shares, "share", kind="share"), "Flagged and in error", shares_of),
        Plot(plots.lines(names, scores, f"score by {found.method}"), "Scores", below),
        _grid(found),
    ]
    title = names[-1] if len(names) == 1 else f"{names[0]} to {names[-1]}"
    return Page(title, "oodscan history", _verdict(found), _facts(found), [Section("Nights", "nights", blocks)])


def _verdict(found: History) -> Verdict:
    last, another = found.nights[-1], [night.name for night in found.nights if night.differs]
    flagged = f"{found.method} has no threshold"
    if last.flagged is not None:
        said = f"{counted(last.images, 'image')} {'is' if last.images == 1 else 'are'}"
        flagged = f"{share(last.flagged)} of {said} flagged by {found.method}"
    before = [night.flagged for night in found.nights[:-1] if night.flagged is not None]
    least, most = share(min(before, default=0.0)), share(max(before, default=0.0))
    since = f", after {least if least == most else f'{least} to {most}'} before" if before else ""
    tone: Tone = "bad" if not last.success else "warn" if another else "good"
    detail = f"Made with another label bank, model or parameters than the night before: {', '.join(another)}."
    ended = "" if last.success else "; the last night has not ended well"
    return Verdict(tone, f"{last.name}: {flagged}{since}{ended}.", detail if another else "")


def _facts(found: History) -> list[Fact]:
    last, failed = found.nights[-1], sum(not night.success for night in found.nights)
    facts = [
        Fact("nights", count(len(found.nights)), f"{count(failed)} not ended well" if failed else "all ended well"),
        Fact("images", count(last.images), f"in {last.name}"),
        Fact("errors", share(last.errors), f"of the records of {last.name}"),
    ]
    if last.images_per_s:
        facts.append(Fact("images a second", count(round(last.images_per_s)), f"in {last.name}"))
    return facts


def _grid(found: History) -> Grid:
    columns = [
        Column("night"), Column("images", "", "number"),
        *(Column(name, f"Below it lie {name} of the scores.", "number") for name in SHARES),
        Column("threshold", "", "number"), Column("flagged", "", "share"), Column("errors", "", "share"),
        Column("images/s", "", "number"), Column("ended"),
        Column("differs in", "What is not as the night before, so that scores do not mean the same."),
    ]  # fmt: skip
    rows: list[tuple[Value, ...]] = [
        (one.name, one.images, *one.quantiles, one.threshold, one.flagged, one.errors, one.images_per_s,
         "well" if one.success else Cell("not well", "not well", "bad"), one.differs)
        for one in found.nights
    ]  # fmt: skip
    return Grid("Night by night", columns, rows)
