"""The page on a scan: first what is to be known in the morning, then all that leads to it."""

from collections.abc import Sequence

from pipelines.errors import CallerError
from pipelines.reports.ended import EndedScan
from pipelines.reports.html import plots
from pipelines.reports.html.blocks import Block, Gallery, Picture, Plot, Prose, Tabs
from pipelines.reports.html.layers import Rule
from pipelines.reports.html.page import Page, Section
from pipelines.reports.html.wording import count
from pipelines.reports.scan import tables
from pipelines.reports.scan.pictures import gallery_rows, least_certain, name_of_kind, pictures, rows_of_kind
from pipelines.reports.scan.plots import binned
from pipelines.reports.scan.verdict import facts, verdict
from pipelines.scan_directory.kinds import Kind
from pipelines.storage import Directory

FIRST_KINDS, KINDS = 5, 12
MOST_PICTURES = 24
"""Pictures of a gallery, at most."""


def scan_page(scan: EndedScan, before: EndedScan | None = None, most: int = MOST_PICTURES) -> Page:
    """The page on a scan. `before`: last night's, which it is held against; `most`: pictures of a gallery."""
    sections = [
        Section("What belongs least", "kinds", _kinds(scan, most), _lead(scan)),
        Section("Scores", "scores", [*_distributions(scan, before), tables.thresholds(scan)]),
        Section("Images", "images", [_galleries(scan, most)]),
        Section("Labels and groups", "labels", _by_label(scan)),
        Section("Shards", "shards", [tables.shards(scan)]),
        Section("Errors", "errors", [block for block in (tables.errors(scan), tables.passed_over(scan)) if block]),
        Section("Time", "time", tables.times(scan) or [Prose(["No run of this scan has read anything."])]),
        Section("Provenance", "provenance", [tables.provenance(scan)]),
    ]
    footer = [f"Made from {scan.url}. Pictures are samples: {_sampled(scan)}."]
    return Page(scan.name, "oodscan report", verdict(scan, before), facts(scan, before), sections, footer)


def last_night(scan: EndedScan) -> EndedScan | None:
    """The scan that this one began from (`--since`); None if there is none, or it is gone."""
    return _other(scan, scan.record.config.since)


def _other(scan: EndedScan, url: str | None) -> EndedScan | None:
    if url is None:
        return None
    try:
        return EndedScan.read(Directory(url, scan.record.directory.options))
    except CallerError:
        return None


def _lead(scan: EndedScan) -> str:
    if not scan.kinds:
        return "No kind of images has most of its images flagged."
    by = "anchors of consensus" if scan.kinds[0].by == "anchor" else "nearest negative labels"
    return f"Kinds are told apart by {by}; these have most of their images flagged, the largest first."


def _kinds(scan: EndedScan, most: int) -> list[Block]:
    """The first kinds with a picture each, and more of each of them in galleries of their own."""
    first = [_first_picture(scan, kind) for kind in scan.kinds[:FIRST_KINDS]]
    if not first:
        return [Prose(["Nothing to show."])]
    more: list[tuple[str, Sequence[Block]]] = []
    for kind in scan.kinds[:KINDS]:
        name = name_of_kind(scan, kind)
        shown = pictures(scan, rows_of_kind(scan, kind)[:most], scan.deciding)
        lead = f"{count(kind.flagged)} of {count(kind.images)} images are flagged."
        more.append((f"{name} ({kind.flagged})", [Gallery(name, shown, lead, max(kind.flagged, len(shown)))]))
    return [
        Gallery("The largest kinds", first, total=max(len(scan.kinds), len(first))),
        Tabs("More of each kind", more),
    ]


def _first_picture(scan: EndedScan, kind: Kind) -> Picture:
    rows = rows_of_kind(scan, kind)
    shown = pictures(scan, rows[:1], scan.deciding)
    about = [("flagged", f"{count(kind.flagged)} of {count(kind.images)} images")]
    image, lines = (shown[0].image, shown[0].lines) if shown else (None, ())
    return Picture(image, name_of_kind(scan, kind), [*about, *lines], "bad")


def _distributions(scan: EndedScan, before: EndedScan | None) -> list[Block]:
    """How the scores of each method are spread, beside those of last night and of the images that calibrate."""
    others = {"last night": before, "images that belong": _other(scan, scan.record.config.calibrate)}
    found: list[Block] = []
    for method in scan.record.methods:
        series = {"this scan": scan.scores(method)}
        series |= {
            name: other.scores(method) for name, other in others.items() if other and method in other.record.methods
        }
        series = {name: one for name, one in series.items() if one.total}
        if not series:
            continue
        threshold = scan.thresholds.values.get(method)
        rules = [] if threshold is None else [Rule(threshold, "threshold")]
        drawing = plots.histogram(binned(series), rules, f"score by {method}")
        found.append(
            Plot(drawing, f"Scores by {method}", "Higher scores belong more; left of the threshold is flagged.")
        )
    return found


def _galleries(scan: EndedScan, most: int) -> Tabs:
    """For each method the images of lowest scores, the least certain, and those of highest scores."""
    tabs: list[tuple[str, Sequence[Block]]] = []
    for method in sorted(scan.record.methods, key=lambda name: name != scan.deciding):
        lowest, highest = (
            pictures(scan, gallery_rows(scan, method, kind)[:most], method) for kind in ("lowest", "highest")
        )
        certain = pictures(scan, least_certain(scan, method, most), method)
        parts = [
            Gallery("Lowest scores", lowest),
            Gallery("Nearest to the threshold", certain),
            Gallery("Highest scores", highest),
        ]
        tabs.append((method, parts))
    return Tabs("Images by method", tabs)


def _by_label(scan: EndedScan) -> list[Block]:
    groups = tables.groups(scan)
    return [tables.labels(scan), tables.negatives(scan), *([groups] if groups else [])]


def _sampled(scan: EndedScan) -> str:
    shown = (
        len(set(zip(scan.gallery["shard"].to_pylist(), scan.gallery["index"].to_pylist(), strict=True)))
        if "shard" in scan.gallery.column_names
        else 0
    )
    return f"{count(shown)} of {count(scan.tally.scored)} images, the ends of the scores and some of every step between"
