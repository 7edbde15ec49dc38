"""The tables of a report: labels, groups, shards, errors, where time went, and where the scan comes from."""

from collections.abc import Mapping
from typing import Any

from pipelines.errors import CallerError
from pipelines.inputs.readers.record import STATUSES
from pipelines.reports.ended import EndedScan
from pipelines.reports.html.blocks import Cell, Column, Grid, Value
from pipelines.scan_directory.breakdown import ERRORS, GROUP, IMAGES, LABEL, MILLION, NEGATIVE, SURE
from pipelines.scan_directory.columns import flag_column
from pipelines.scan_directory.receipts import TIMES

MOST_ROWS = 500
"""Rows of a table that are in the page; that there are more is said."""
FLAGGED = Column("flagged", "The share of the scored images that the deciding method flags.", "share")
COUNT = Column("images", "Images with scores.", "number")


def labels(scan: EndedScan) -> Grid:
    """Each ID label: how many images are nearest to it, how sure that is, how many are flagged; never seen ones too."""
    counts, flags = scan.counts(LABEL), flag_column(scan.deciding)
    seen = [(name, of.get(IMAGES, 0), of.get(SURE, 0), of.get(flags, 0)) for name, of in counts.items()]
    seen.sort(key=lambda row: (-row[1], row[0]))
    rows: list[tuple[Value, ...]] = [
        (name, images, sure / MILLION / images, flagged / images) for name, images, sure, flagged in seen if images
    ]
    known, note = _known_labels(scan)
    rows += [(name, 0, None, None) for name in known if name not in counts]
    sure = Column("sure", "The mean probability that the nearest label has among the ID labels.", "share")
    return Grid("by nearest ID label", [Column("label"), COUNT, sure, FLAGGED], rows[:MOST_ROWS], len(rows), note)


def negatives(scan: EndedScan) -> Grid:
    """Each nearest negative label: what the images that do not belong seem to be."""
    return _counted(scan, NEGATIVE, "by nearest negative label", Column("negative label"))


def groups(scan: EndedScan) -> Grid | None:
    """Each group of images; None if all are in one."""
    if len(scan.counts(GROUP)) < 2:
        return None
    return _counted(scan, GROUP, f"by {scan.thresholds.group_by}", Column(scan.thresholds.group_by))


def shards(scan: EndedScan) -> Grid:
    """Each shard: what is flagged, what is broken, and how long it took; those of most flags first."""
    flags, rows = flag_column(scan.deciding), []
    for name, receipt in scan.receipts.items():
        scored = receipt["statuses"].get("ok", 0)
        bad = {status: number for status, number in receipt["statuses"].items() if status != "ok"}
        took = sum(receipt[part] or 0.0 for part in TIMES)
        flagged = receipt["flagged"].get(flags, 0) / scored if scored else None
        told = ", ".join(f"{number} {status}" for status, number in sorted(bad.items()))
        errors = Cell(told, told, "bad") if bad else ""
        rows.append(
            (
                name,
                receipt["records"],
                flagged,
                sum(bad.values()),
                errors,
                took / receipt["records"] * 1000 if took and receipt["records"] else None,
            )
        )
    rows.sort(key=lambda row: (-(row[2] or 0.0), -row[3], row[0]))
    columns = [
        Column("shard"), Column("records", "", "number"), FLAGGED, Column("errors", "", "number"), Column("which"),
        Column("ms a record", "Of all threads together, in the run that read the shard.", "number"),
    ]  # fmt: skip
    return Grid("by shard", columns, rows[:MOST_ROWS], len(rows))


def errors(scan: EndedScan) -> Grid:
    """The statuses of records without scores."""
    found = [(status, number) for status, number in scan.tally.statuses.items() if status != "ok"]
    rows = [(status, number, STATUSES.get(status, "")) for status, number in sorted(found, key=lambda one: -one[1])]
    return Grid("errors", [Column("status"), Column("records", "", "number"), Column("meaning")], rows)


def passed_over(scan: EndedScan) -> Grid | None:
    """What was in the input and not read; None if there was nothing."""
    rows = sorted(dict(scan.summary.get("passed_over") or {}).items())
    return Grid("passed over", [Column("kind"), Column("files", "", "number")], rows) if rows else None


def times(scan: EndedScan) -> list[Grid]:
    """Where the time of the last run that did anything went: by stage of the first step, and by step."""
    run: Mapping[str, Any] = scan.summary.get("last_run") or {}
    stages = [
        (name, of["busy_s"], of["threads"], of["images_per_s"], "limits" if name == run.get("limited_by") else "")
        for name, of in (run.get("stages") or {}).items()
    ]
    columns = [
        Column("stage"), Column("busy, s", "Of all its threads together.", "number"), Column("threads", "", "number"),
        Column("images/s", "What all its threads could do, were nothing else to wait for.", "number"), Column(""),
    ]  # fmt: skip
    steps = list((run.get("steps_s") or {}).items())
    tables = [Grid("stages of the first step", columns, stages)] if stages else []
    return tables + ([Grid("steps", [Column("step"), Column("seconds", "", "number")], steps)] if steps else [])


def thresholds(scan: EndedScan) -> Grid:
    """Each method: its threshold, where that comes from, and what it flags."""
    rows: list[tuple[Value, ...]] = []
    for name in scan.record.methods:
        found = scan.thresholds.methods.get(name)
        called = Cell(name, name, note="decides") if name == scan.deciding else name
        if found is None:
            rows.append((called, None, None, None, None, "none: its scores are all the same, or there are none"))
        else:
            rows.append((called, found.value, found.low, found.high, scan.share(name), found.said))
    columns = [
        Column("method"), Column("threshold", "", "number"),
        Column("at least", "Where it would lie with other images that belong, 95 times in 100.", "number"),
        Column("at most", "", "number"), Column("flagged", "", "share"), Column("where it comes from"),
    ]  # fmt: skip
    return Grid("thresholds", columns, rows)


def provenance(scan: EndedScan) -> Grid:
    """What the scores depend on."""
    identity = {name: value for name, value in scan.record.identity.items() if value is not None}
    rows = [("scan", scan.url), ("label bank", scan.record.config.labels)]
    rows += [(name, value if isinstance(value, str) else str(value)) for name, value in identity.items()]
    rows.append(("fingerprint", scan.record.fingerprint))
    return Grid("what the scores depend on", [Column("what"), Column("value")], rows)


def _counted(scan: EndedScan, by: str, title: str, first: Column) -> Grid:
    """A table of counts by value, those of most flagged images first."""
    flags = flag_column(scan.deciding)
    found = [(name, of.get(IMAGES, 0), of.get(flags, 0), of.get(ERRORS, 0)) for name, of in scan.counts(by).items()]
    found.sort(key=lambda row: (-row[2], -row[1], row[0]))
    rows = [
        (name or "(none)", images, flagged, flagged / images if images else None, bad)
        for name, images, flagged, bad in found
    ]
    columns = [
        first,
        COUNT,
        Column("flagged", "Images that the deciding method flags.", "number"),
        Column("share", "", "share"),
        Column("errors", "", "number"),
    ]
    return Grid(title, columns, rows[:MOST_ROWS], len(rows))


def _known_labels(scan: EndedScan) -> tuple[list[str], str]:
    """The bank's ID labels, and a note if it cannot be read."""
    try:
        bank = scan.record.bank()
    except CallerError as error:
        return [], f"Labels that no image is nearest to are not shown: {error}"
    return bank.texts[: bank.id_count], ""
