"""Images of a scan's gallery, for pages: as pictures, or as rows of a table where there are none. Free of torch."""

from collections.abc import Iterable, Sequence
from typing import Any

from ood_core.methods import score_column
from pipelines.reports.ended import EndedScan, Row
from pipelines.reports.html.blocks import Block, Cell, Column, Gallery, Grid, Picture, Value
from pipelines.reports.html.wording import decimal, share
from pipelines.scan_directory.breakdown import COLUMNS, NEGATIVE
from pipelines.scan_directory.columns import flag_column
from pipelines.scan_directory.kinds import FLAGGED, Kind


def images(
    scan: EndedScan, title: str, rows: Sequence[Row], method: str, lead: str = "", total: int | None = None
) -> Block:
    """Some rows of the gallery with their scores by a method: a gallery, or a table if the scan has no pictures.

    `total`: of how many images these are the first, None if they are all.
    """
    if has_pictures(scan):
        return Gallery(title, [picture(scan, row, method) for row in rows], lead, total)
    columns = [
        Column("image"), Column(method, "", "number"), Column("nearest ID label"), Column("probability", "", "share"),
        Column("nearest negative label"), Column("flagged by"), Column("shard"), Column("record", "", "number"),
    ]  # fmt: skip
    return Grid(title, columns, [_cells(scan, row, method) for row in rows], total, lead)


def has_pictures(scan: EndedScan) -> bool:
    """Whether the gallery has any: that of a rescoring has none."""
    return any(row.get("thumbnail") for rows in scan.gallery.values() for row in rows)


def least_certain(scan: EndedScan, method: str, most: int) -> list[Row]:
    """The rows whose scores are nearest to the method's threshold, of those drawn from every step of scores."""
    threshold, column = scan.thresholds.values.get(method), score_column(method)
    if threshold is None:
        return []
    return sorted(scan.gallery.get((method, "spread"), ()), key=lambda row: abs(row[column] - threshold))[:most]


def rows_of_kind(scan: EndedScan, kind: Kind) -> list[Row]:
    """The rows that show a kind of flagged images."""
    column, rows = COLUMNS[kind.by], scan.gallery.get((scan.deciding, FLAGGED), ())
    return [row for row in rows if str(row.get(column)) == kind.value]


def name_of_kind(scan: EndedScan, kind: Kind) -> str:
    """What a kind looks like to the model, in words: its negative label; of an anchor, what its pictures look like."""
    if kind.by == NEGATIVE:
        return kind.value
    rows = rows_of_kind(scan, kind)
    negative, label = (_usual(row.get(name) for row in rows) for name in ("negative_label", "id_label"))
    if negative and label:
        return f"{negative}, rather than {label}"
    return negative or (f"nearest to {label}" if label else f"anchor {kind.value}")


def picture(scan: EndedScan, row: Row, method: str) -> Picture:
    """One image with all that its row tells, its score by `method` first."""
    lines = [("score", decimal(row[score_column(method)], 3))]
    if row.get("id_label") is not None:
        lines.append(("nearest", row["id_label"]))
    if row.get("id_probability") is not None:
        lines.append(("probability", share(row["id_probability"])))
    if row.get("negative_label") is not None:
        lines.append(("nearest negative", row["negative_label"]))
    scores = {name: row.get(score_column(name)) for name in scan.methods}
    if len(scores) > 1:
        lines += [(f"by {name}", decimal(score, 3)) for name, score in scores.items() if score is not None]
    lines.append(("flagged by", _flagged_by(scan, row) or "no method"))
    lines.append(("shard", f"{row['shard']}, record {row['index']}"))
    if row.get("width"):
        lines.append(("size", f"{row['width']} × {row['height']}"))
    return Picture(row.get("thumbnail"), _title(row), lines, "bad" if row.get(flag_column(method)) else "neutral")


def _cells(scan: EndedScan, row: Row, method: str) -> tuple[Value, ...]:
    title = _title(row)
    named = Cell(title, title, "bad") if row.get(flag_column(method)) else title
    probability, flagged_by = row.get("id_probability"), _flagged_by(scan, row)
    return (named, row[score_column(method)], row.get("id_label"), probability, row.get("negative_label"), flagged_by,
            row["shard"], row["index"])  # fmt: skip


def _title(row: Row) -> str:
    return row["key"] or f"record {row['index']} of {row['shard']}"


def _flagged_by(scan: EndedScan, row: Row) -> str:
    return ", ".join(name for name in scan.methods if row.get(flag_column(name)))


def _usual(values: Iterable[Any]) -> str | None:
    """The most frequent of some texts, of equally frequent ones the first; None if there is none."""
    there = [value for value in values if value is not None]
    return max(there, key=there.count) if there else None
