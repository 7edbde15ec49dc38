"""The kinds of images that belong least, with pictures. Free of torch."""

from pipelines.reports.ended import EndedScan
from pipelines.reports.html.blocks import Block, Column, Gallery, Grid, Picture, Tabs, Value
from pipelines.reports.html.wording import count
from pipelines.reports.scan.pictures import has_pictures, images, name_of_kind, picture, rows_of_kind
from pipelines.scan_directory.breakdown import KIND, NEGATIVE
from pipelines.scan_directory.kinds import Kind

FIRST, MORE = 5, 12
"""Kinds with a picture each on the first screen, and kinds that are shown with more pictures."""


def lead(scan: EndedScan) -> str:
    """What a kind is, and which are shown."""
    if not scan.tally.scored:
        return "No image has a score."
    if scan.counts(KIND):
        by = "anchor of consensus"
    elif scan.counts(NEGATIVE):
        by = "negative label"
    else:
        return "Kinds are told apart by negative labels or anchors of consensus, and this scan has neither."
    if not scan.kinds:
        return f"Images with the same nearest {by} are a kind; of none is half flagged."
    return f"Images with the same nearest {by} are a kind; these are at least half flagged, the most flagged first."


def kinds(scan: EndedScan, most: int) -> list[Block]:
    """The first kinds with a picture each, and more of each in galleries of their own, of `most` pictures at most."""
    if not scan.kinds:
        return []
    if not has_pictures(scan):
        return [_table(scan)]
    first = [_first_picture(scan, kind) for kind in scan.kinds[:FIRST]]
    more = [(f"{name_of_kind(scan, kind)} ({count(kind.flagged)})", [gallery(scan, kind, most)]) for kind in scan.kinds]
    return [Gallery("The largest kinds", first, total=len(scan.kinds)), Tabs("More of each kind", more[:MORE])]


def gallery(scan: EndedScan, kind: Kind, most: int) -> Block:
    """The flagged images of a kind, as far as the scan's gallery has them."""
    of_kind = "with this nearest negative label" if kind.by == NEGATIVE else "of one anchor of consensus"
    told = f"{count(kind.flagged)} of {count(kind.images)} images {of_kind} are flagged."
    shown = rows_of_kind(scan, kind)[:most]
    return images(scan, name_of_kind(scan, kind), shown, scan.deciding, told, max(kind.flagged, len(shown)))


def _first_picture(scan: EndedScan, kind: Kind) -> Picture:
    rows = rows_of_kind(scan, kind)
    lines = [("flagged", f"{count(kind.flagged)} of {count(kind.images)}")]
    if not rows:
        return Picture(None, name_of_kind(scan, kind), lines, "bad")
    shown = picture(scan, rows[0], scan.deciding)
    return Picture(shown.image, name_of_kind(scan, kind), [*lines, ("image", shown.title), *shown.lines], "bad")


def _table(scan: EndedScan) -> Block:
    """The kinds of a scan without pictures."""
    columns = [
        Column("kind"), Column("images", "", "number"), Column("flagged", "", "number"), Column("share", "", "share"),
        Column("mean score", f"By {scan.deciding}.", "number"),
    ]  # fmt: skip
    rows: list[tuple[Value, ...]] = [
        (name_of_kind(scan, kind), kind.images, kind.flagged, kind.flagged / kind.images, kind.score)
        for kind in scan.kinds
    ]
    return Grid("The largest kinds", columns, rows)
