"""Pictures of a scan's gallery, for pages. Free of torch."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.methods import score_column
from pipelines.reports.ended import EndedScan
from pipelines.reports.html.blocks import Picture
from pipelines.reports.html.wording import decimal, share
from pipelines.scan_directory.columns import flag_column
from pipelines.scan_directory.kinds import FLAGGED, Kind, number_of

Row = Mapping[str, Any]


def gallery_rows(scan: EndedScan, method: str, kind: str) -> list[Row]:
    """The rows of the gallery that were chosen by a method's scores for a reason (`kind`), in order of their rank."""
    table = scan.gallery
    wanted = [
        name == method and found == kind
        for name, found in zip(table["method"].to_pylist(), table["kind"].to_pylist(), strict=True)
    ]
    return table.filter(pa.array(wanted, pa.bool_())).sort_by("rank").to_pylist()


def least_certain(scan: EndedScan, method: str, most: int) -> list[Row]:
    """The rows whose scores are nearest to the method's threshold, of those drawn from every step of scores."""
    threshold, column = scan.thresholds.values.get(method), score_column(method)
    if threshold is None:
        return []
    rows = gallery_rows(scan, method, "spread")
    return sorted(rows, key=lambda row: abs(row[column] - threshold))[:most]


def rows_of_kind(scan: EndedScan, kind: Kind) -> list[Row]:
    """The rows that show a kind of flagged images."""
    column = {"anchor": "anchor", "negative": "negative_label"}[kind.by]
    rows = gallery_rows(scan, scan.deciding, FLAGGED)
    return [row for row in rows if number_of(kind.by, str(row[column])) == kind.number]


def name_of_kind(scan: EndedScan, kind: Kind) -> str:
    """What a kind looks like to the model, in words: the labels that are nearest to most of its pictures."""
    rows = rows_of_kind(scan, kind)
    negative, label = (_usual(row.get(name) for row in rows) for name in ("negative_label", "id_label"))
    if kind.by == "negative":
        negative = kind.value
    called = negative or label or f"{kind.by} {kind.value}"
    return f"{called}, rather than {label}" if negative and label else called


def picture(scan: EndedScan, row: Row, method: str) -> Picture:
    """One image with all that its row tells, the score by `method` first."""
    lines = [(method, _score(row[score_column(method)]))]
    if row.get("id_label") is not None:
        sure = row.get("id_probability")
        lines.append(("nearest", row["id_label"] if sure is None else f"{row['id_label']} ({share(sure)})"))
    if row.get("negative_label") is not None:
        lines.append(("rather", row["negative_label"]))
    others = [name for name in scan.record.methods if name != method and row.get(score_column(name)) is not None]
    lines += [(name, _score(row[score_column(name)])) for name in others]
    flagged = [name for name in scan.record.methods if row.get(flag_column(name))]
    lines += [("flagged by", ", ".join(flagged) or "no method"), ("shard", f"{row['shard']}, record {row['index']}")]
    if row.get("width"):
        lines.append(("size", f"{row['width']} × {row['height']}"))
    title = row["key"] or f"record {row['index']} of {row['shard']}"
    return Picture(row["thumbnail"], title, lines, "bad" if row.get(flag_column(method)) else "neutral")


def pictures(scan: EndedScan, rows: Iterable[Row], method: str) -> list[Picture]:
    """The images of some rows of the gallery."""
    return [picture(scan, row, method) for row in rows]


def _score(value: float) -> str:
    if not np.isfinite(value):
        return str(value)
    return decimal(value, 3)


def _usual(values: Iterable[Any]) -> str | None:
    """The most frequent of some texts, of equally frequent ones the first; None if there is none."""
    there = [value for value in values if value is not None]
    return max(there, key=there.count) if there else None
