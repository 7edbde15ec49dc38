"""The tables of a report: labels, groups, shards, errors, where time went, and where the scores come from."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ood_core.calibration import share_interval
from pipelines.config.scan import Scan
from pipelines.errors import CallerError
from pipelines.inputs.readers.record import STATUSES
from pipelines.reports.ended import EndedScan
from pipelines.reports.html.blocks import Block, Cell, Column, Grid, Prose, Value
from pipelines.reports.html.wording import count, decimal
from pipelines.reports.scan.verdict import errors_of
from pipelines.scan_directory.breakdown import ERRORS, GROUP, IMAGES, LABEL, MILLION, NEGATIVE, OTHERS, SURE
from pipelines.scan_directory.columns import flag_column
from pipelines.scan_directory.receipts import TIMES

MOST_ROWS = 500
"""Rows of a table that are in the page; that there are more is said."""
IMAGES_COLUMN = Column("images", "Images with scores.", "number")
FLAGGED_COLUMN = Column("flagged", "Images that the deciding method flags.", "number")
SHARE_COLUMN = Column("share", "The share of the images that the deciding method flags.", "share")
RECORDS_COLUMN, ERRORS_COLUMN = Column("records", "", "number"), Column("errors", "Records without scores.", "number")


def by_label(scan: EndedScan) -> list[Block]:
    """Tables of images by nearest ID label, by nearest negative label and by group, of those that there are."""
    group_by = scan.thresholds.group_by
    found: list[Block] = [_labels(scan)]
    if scan.counts(NEGATIVE):
        found.append(_counted(scan, NEGATIVE, "By nearest negative label", "negative label"))
    if len(scan.counts(GROUP)) > 1:
        found.append(_counted(scan, GROUP, f"By {group_by}", group_by))
    return found


def shards(scan: EndedScan) -> Grid:
    """Each shard: what is flagged, and how long it took; those first that surely have the largest share flagged."""
    flags, rows = flag_column(scan.deciding), []
    for name, receipt in scan.receipts.items():
        records, scored = receipt["records"], receipt["statuses"].get("ok", 0)
        flagged, took = receipt["flagged"].get(flags, 0), sum(receipt[part] or 0.0 for part in TIMES)
        each = took / records * 1000 if took and records else None
        row = (name, records, flagged, flagged / scored if scored else None, records - scored, each)
        rows.append((share_interval(flagged, scored)[0], row))
    rows.sort(key=lambda row: (-row[0], row[1][0]))
    spent = "Of all threads together, in the run that read the shard."
    columns = [Column("shard"), RECORDS_COLUMN, FLAGGED_COLUMN, SHARE_COLUMN, ERRORS_COLUMN,
               Column("ms a record", spent, "number")]  # fmt: skip
    return Grid("By shard", columns, [row for _, row in rows[:MOST_ROWS]], len(rows))


def errors(scan: EndedScan) -> list[Block]:
    """The statuses of records without scores, the shards that have such records, and what was not read at all."""
    statuses = [(status, number, STATUSES.get(status, "")) for status, number in errors_of(scan)]
    columns = [Column("status"), RECORDS_COLUMN, Column("meaning")]
    found: list[Block] = [Grid("By kind", columns, statuses, empty="Every record has a score.")]
    bad = {name: _bad(receipt) for name, receipt in scan.receipts.items()}
    rows = [(name, sum(of.values()), scan.receipts[name]["records"], _listed(of)) for name, of in bad.items() if of]
    if rows:
        rows.sort(key=lambda row: (-row[1], row[0]))
        columns = [Column("shard"), ERRORS_COLUMN, Column("of records", "", "number"), Column("which")]
        found.append(Grid("By shard", columns, rows[:MOST_ROWS], len(rows)))
    if passed_over := sorted(dict(scan.summary.get("passed_over") or {}).items()):
        note = "Files that are neither images nor tables, nor archives of them."
        found.append(Grid("Passed over", [Column("kind"), Column("files", "", "number")], passed_over, note=note))
    return found


def times(scan: EndedScan) -> list[Block]:
    """When and how long the last run that did anything worked, and where its time went, by stage and by step."""
    run: Mapping[str, Any] = scan.summary.get("last_run") or {}
    if not run.get("stages"):
        return [Prose(["No run has read anything for this scan."])]
    busy = "Of all its threads together."
    could = "What all its threads could do, were nothing else to wait for."
    columns = [
        Column("stage"), Column("busy, s", busy, "number"), Column("threads", "", "number"),
        Column("images/s", could, "number"),
    ]  # fmt: skip
    stages = [
        (Cell(name, name, note="limits" if name == run.get("limited_by") else ""), of["busy_s"], of["threads"],
         of["images_per_s"])
        for name, of in run["stages"].items()
    ]  # fmt: skip
    steps = list((run.get("steps_s") or {}).items())
    found: list[Block] = [Prose([_last_run(scan, run)]), Grid("Stages of the first step", columns, stages)]
    return [*found, Grid("Steps", [Column("step"), Column("seconds", "", "number")], steps)] if steps else found


def thresholds(scan: EndedScan) -> Grid:
    """Each method: its threshold, where that comes from, and what it flags."""
    known = [threshold.low is not None for threshold in scan.thresholds.methods.values()]
    sure = "Where it would lie with other images that belong, 95 times in 100: {} this."
    interval = [Column("from", sure.format("at least"), "number"), Column("to", sure.format("at most"), "number")]
    rows: list[tuple[Value, ...]] = []
    for name in scan.methods:
        found = scan.thresholds.methods.get(name)
        called = Cell(name, name, note="decides") if name == scan.deciding else name
        ends = (found.low, found.high) if found else (None, None)
        said = found.said if found else "is missing: its scores are all the same, or it has none"
        rows.append((called, found and found.value, *(ends if any(known) else ()), scan.share(name), said))
    columns = [
        Column("method"), Column("threshold", "", "number"), *(interval if any(known) else ()),
        Column("flagged", "The share of the images that the method flags.", "share"), Column("which"),
    ]  # fmt: skip
    return Grid("Thresholds", columns, rows)


def provenance(scan: EndedScan) -> Grid:
    """What the scores and flags depend on."""
    config = scan.record.config
    inputs = config.input if isinstance(config, Scan) else config.embeddings
    named = {"scan": scan.url, "read from": ", ".join(inputs), "label bank": config.labels,
             "since": config.since, "calibrate": config.calibrate}  # fmt: skip
    told = {**named, **scan.record.identity, "fingerprint": scan.record.fingerprint}
    rows = [(name, _text(value)) for name, value in told.items() if value is not None]
    return Grid("What the scores depend on", [Column("what"), Column("value")], rows)


def _labels(scan: EndedScan) -> Grid:
    """Each ID label: how many images are nearest to it, how sure that is, how many are flagged; never seen ones too."""
    counts, flags = scan.counts(LABEL), flag_column(scan.deciding)
    rows: list[tuple[Value, ...]] = []
    for name, of in sorted(counts.items(), key=lambda item: (-item[1].get(IMAGES, 0), item[0])):
        if images := of.get(IMAGES):
            sure = of[SURE] / MILLION / images if SURE in of else None
            rows.append((_value(name), images, sure, of.get(flags, 0), of.get(flags, 0) / images))
    known, note = _known_labels(scan)
    unseen = [name for name in known if name not in counts]
    rows += [(name, 0, None, None, None) for name in unseen]
    if unseen:
        note = f"{count(len(unseen))} of {count(len(known))} ID labels are nearest to no image."
    sure = Column("probability", "Of the nearest label among the ID labels, on average.", "share")
    columns = [Column("label"), IMAGES_COLUMN, sure, FLAGGED_COLUMN, SHARE_COLUMN]
    return Grid("By nearest ID label", columns, rows[:MOST_ROWS], len(rows), note)


def _counted(scan: EndedScan, by: str, title: str, first: str) -> Grid:
    """A table of counts by value, those of most flagged images first."""
    flags = flag_column(scan.deciding)
    found = [(name, of.get(IMAGES, 0), of.get(flags, 0), of.get(ERRORS, 0)) for name, of in scan.counts(by).items()]
    found.sort(key=lambda row: (-row[2], -row[1], row[0]))
    rows = [
        (_value(name), images, flagged, flagged / images if images else None, bad)
        for name, images, flagged, bad in found[:MOST_ROWS]
    ]
    columns = [Column(first), IMAGES_COLUMN, FLAGGED_COLUMN, SHARE_COLUMN, ERRORS_COLUMN]
    return Grid(title, columns, rows, len(found))


def _known_labels(scan: EndedScan) -> tuple[list[str], str]:
    """The bank's ID labels, and a note if it cannot be read."""
    try:
        bank = scan.record.bank()
    except CallerError as error:
        return [], f"Labels that no image is nearest to are not shown: {error}."
    return bank.texts[: bank.id_count], ""


def _bad(receipt: Mapping[str, Any]) -> dict[str, int]:
    """How many records of a shard have each of the statuses that mean no scores."""
    return {status: number for status, number in receipt["statuses"].items() if status != "ok"}


def _listed(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{count(number)} {name}" for name, number in sorted(numbers.items()))


def _value(name: str) -> str:
    """A value that images are counted by, in words if it has none."""
    return {"": "(none)", OTHERS: "(all others)"}.get(name, name)


def _last_run(scan: EndedScan, run: Mapping[str, Any]) -> str:
    """When the last run of a scan worked, how long, and on what."""
    committed = [receipt["committed"] for receipt in scan.receipts.values() if receipt["committed"]]
    ended = f"{datetime.fromtimestamp(max(committed), UTC):%Y-%m-%d %H:%M} UTC" if committed else "an unknown time"
    seconds, start_up = decimal(run["wall_s"], 0), decimal(run["start_up_s"], 0)
    return (
        f"The last run that read anything read its last shard at {ended}. It took {seconds} s for "
        f"{count(run['images'])} records, {start_up} s of it to start."
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
