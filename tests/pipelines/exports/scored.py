"""Scans made by hand: real inputs, planned and read as a scan reads them, with scores that a test chooses."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa

from pipelines.config.scan import Read, Scan
from pipelines.exports.choice import Choice
from pipelines.exports.output_files import output_files
from pipelines.exports.receipt import Receipt
from pipelines.exports.score_rows import ScoreTables
from pipelines.exports.worker import Job, exported
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.plan import Plan, Shard
from pipelines.inputs.readers.record import Record
from pipelines.inputs.records import records
from pipelines.scan_directory.identity import fingerprint
from pipelines.scan_directory.layout import FINGERPRINT_KEY, SCORES, shard_file, table_bytes
from pipelines.storage import Directory

THRESHOLD = 0.5
IDENTITY = {"command": "scan", "labels": "bank"}
FINGERPRINT = fingerprint(IDENTITY)
READ = Read(images_per_shard=4, retry_s=0)
Score = Callable[[str], float]


def by_name(key: str) -> float:
    """Below the threshold for keys with "bad" in them."""
    return 0.25 if "bad" in key else 0.75


def make_scan(
    root: Path,
    inputs: Sequence[Path | str],
    score: Score = by_name,
    flags: bool = True,
    read: Read = READ,
    options: Mapping[str, str] = MappingProxyType({}),
) -> Directory:
    """A scan of the inputs by `mcm` and `max-cos` in `root/scan`; what the latter scores is 1 less."""
    output = Directory(str(root / "scan"))
    config = Scan(input=tuple(map(str, inputs)), labels="bank", output=output.url, method=("max-cos", "mcm"), read=read)
    planned = plan_images(config.input, read, options)
    for shard in planned.shards:
        put_scores(output, shard, list(records(shard, read, options)), score, flags)
    recorded = {"identity": IDENTITY, "fingerprint": FINGERPRINT, "config": config.model_dump(mode="json")}
    output.put("scan.json", json.dumps(recorded).encode())
    output.put("plan.parquet", planned.to_parquet())
    output.put("_SUCCESS", b"")
    return output


def put_scores(
    output: Directory, shard: Shard, found: Sequence[Record], score: Score = by_name, flags: bool = True
) -> None:
    """Writes the score table of a shard of these records."""
    statuses = [_status(record) for record in found]
    ok = [status == "ok" for status in statuses]
    scores = [score(record.key) if good else None for record, good in zip(found, ok, strict=True)]
    columns = {
        "key": pa.array([record.key for record in found], pa.string()),
        "shard": pa.array([shard.id] * len(found), pa.string()),
        "index": pa.array(range(len(found)), pa.int64()),
        "status": pa.array(statuses, pa.string()),
        "id_label": pa.array(["cat" if good else None for good in ok], pa.string()),
        "id_probability": pa.array([0.5 if good else None for good in ok], pa.float64()),
        "negative_label": pa.array(["hat" if good else None for good in ok], pa.string()),
        "score_max_cos": pa.array([None if value is None else value - 1 for value in scores], pa.float64()),
        "score_mcm": pa.array(scores, pa.float64()),
        "url": pa.array([record.url for record in found], pa.string()),
        **{
            name: pa.array([getattr(record, name) for record in found], pa.int64())
            for name in ("offset", "length", "row")
        },
    }
    if flags:
        columns["is_ood_mcm"] = pa.array([None if value is None else value < THRESHOLD for value in scores], pa.bool_())
    output.put(shard_file(SCORES, shard.id), table_bytes(pa.table(columns), {FINGERPRINT_KEY: FINGERPRINT}))


def _status(record: Record) -> str:
    """Of contents that tests give: nothing is an empty file, and what begins with `broken` no image."""
    if record.status != "ok":
        return record.status
    return "empty-file" if not record.content else "unreadable-image" if record.content.startswith(b"broken") else "ok"


def planned_shards(inputs: Sequence[Path | str], read: Read = READ) -> Plan:
    return plan_images(list(map(str, inputs)), read, {})


def job(scan: Directory, output: Path | str, choice: Choice = Choice("mcm"), read: Read = READ) -> Job:  # noqa: B008
    return Job(ScoreTables(scan, FINGERPRINT), choice, Directory(str(output)), read)


def copied(asked: Job, inputs: Sequence[Path | str]) -> dict[str, Receipt]:
    """Makes every copy, in this process; the receipts by name."""
    files = output_files(planned_shards(inputs, asked.read).shards)
    return {file.name: exported(asked, file) for file in files}
