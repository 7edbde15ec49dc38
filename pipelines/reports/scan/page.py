"""The page on a scan: first what is to be known in the morning, then all that leads to it."""

from collections.abc import Sequence

from pipelines.errors import CallerError
from pipelines.reports.comparison.comparable import check_comparable
from pipelines.reports.ended import EndedScan, names_of
from pipelines.reports.html.blocks import Block, Prose, Tabs
from pipelines.reports.html.page import Page, Section
from pipelines.reports.html.wording import count
from pipelines.reports.scan import tables
from pipelines.reports.scan.kinds import kinds, lead
from pipelines.reports.scan.pictures import has_pictures, images, least_certain
from pipelines.reports.scan.plots import spread
from pipelines.reports.scan.verdict import facts, verdict
from pipelines.reports.scan.verdicts import verdicts
from pipelines.storage import Directory

MOST_PICTURES = 24
"""Pictures of a gallery, at most."""
UNSCORED = Prose(["No image has a score."])


def scan_page(scan: EndedScan, before: EndedScan | None = None, most: int = MOST_PICTURES) -> Page:
    """The page on a scan. `before`: last night's, which it is held against; `most`: pictures of a gallery."""
    sections = [
        Section("What belongs least", "kinds", kinds(scan, most), lead(scan)),
        Section("Scores", "scores", [*_distributions(scan, before), tables.thresholds(scan)]),
        Section("Images", "images", [_galleries(scan, most) if scan.tally.scored else UNSCORED]),
        *([Section("Verdicts", "verdicts", said)] if (said := verdicts(scan)) else []),
        Section("Labels and groups", "labels", tables.by_label(scan)),
        Section("Shards", "shards", [tables.shards(scan)]),
        Section("Errors", "errors", tables.errors(scan)),
        Section("Time", "time", tables.times(scan)),
        Section("Provenance", "provenance", [tables.provenance(scan)]),
    ]
    kicker, footer = f"oodscan report on {scan.url}", [_samples(scan)] if scan.tally.scored else []
    return Page(names_of([scan])[0], kicker, verdict(scan, before), facts(scan, before), sections, footer)


def last_night(scan: EndedScan) -> EndedScan | None:
    """The scan that this one began from (`--since`); None if there is none, or it is gone or by now another."""
    return _other(scan, scan.record.config.since)


def _other(scan: EndedScan, url: str | None) -> EndedScan | None:
    if url is None:
        return None
    try:
        found = EndedScan.read(Directory(url, scan.record.directory.options))
        check_comparable(found, scan)
    except CallerError:
        return None
    return found


def _distributions(scan: EndedScan, before: EndedScan | None) -> list[Block]:
    """How the scores of each method are spread, beside those of last night and of images that belong: of the scan that
    calibrates, or the reference."""
    calibrating = _other(scan, scan.record.config.calibrate)
    belonging = calibrating.scores if calibrating else scan.reference_scores
    shown = {"this scan": scan.scores, "what belongs": belonging, **({"last night": before.scores} if before else {})}
    found: list[Block] = []
    for method in scan.methods:
        series = {name: scores for name, of in shown.items() if (scores := of(method)).total}
        threshold = scan.thresholds.values.get(method)
        said = "" if threshold is None else " Left of the threshold is flagged."
        if "this scan" in series:
            found.append(spread(method, series, threshold, f"The higher, the more an image belongs.{said}"))
    return found or [UNSCORED]


def _galleries(scan: EndedScan, most: int) -> Tabs:
    """For each method the images of lowest scores, the least certain, and those of highest scores."""
    tabs: list[tuple[str, Sequence[Block]]] = []
    for method in scan.methods:
        lowest, highest = (scan.gallery.get((method, kind), ())[:most] for kind in ("lowest", "highest"))
        certain, scored = least_certain(scan, method, most), scan.tally.scored
        drawn = "Of images drawn by lot from every step of scores."
        parts = [
            images(scan, "Lowest scores", lowest, method, "", max(scored, len(lowest))),
            images(scan, "Nearest to the threshold", certain, method, drawn),
            images(scan, "Highest scores", highest, method, "", max(scored, len(highest))),
        ]
        tabs.append((method, parts))
    return Tabs("Images by method", tabs)


def _samples(scan: EndedScan) -> str:
    """How many of the scan's images the page was made from."""
    shown = {(row["shard"], row["index"]) for rows in scan.gallery.values() for row in rows}
    what = "Pictures" if has_pictures(scan) else "The images that are named"
    return (
        f"{what} are a sample: {count(len(shown))} of {count(scan.tally.scored)}, those of the lowest and highest "
        "scores, some of every step between, and some of each kind that is flagged."
    )
