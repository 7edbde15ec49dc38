"""Checks a scan by its manifest and its listings, without reading a table."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from pipelines.scan_directory.layout import (
    CANDIDATES,
    CONSENSUS,
    EMBEDDINGS,
    MANIFEST,
    MEMORY,
    OF_REFERENCE,
    ROUNDS,
    SCORES,
    SNAPSHOT,
    SUMS,
    VERDICTS,
    VOTES,
    WITH_VERDICTS,
    committed_files,
    shard_file,
    shard_name,
)
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.receipts import ALWAYS, SCHEMA
from pipelines.scan_directory.summary import Tally
from pipelines.verify.recorded import Recorded
from pipelines.verify.tables import Inspection, UnfitError

RECEIPTS = pa.schema([field.with_nullable(field.name not in ALWAYS) for field in SCHEMA])
PART = re.compile(r"part-[0-9]+\.parquet")


@dataclass(frozen=True)
class Told:
    """What the manifest tells: each shard's receipt, and what all come to, None if it does not tell of just the planned
    shards or is damaged."""

    receipts: Mapping[str, Mapping[str, Any]]
    tally: Tally | None


def told_by_manifest(found: Inspection, scan: Recorded, listed: bool) -> Told:
    """Reads the manifest, and compares it with the plan; if `listed`, with the files that are there, by their names and
    sizes."""
    told, before = _told(found), len(found.problems)
    planned = {shard.id: shard.rows for shard in scan.shards}
    for shard in sorted(told.receipts.keys() - planned):
        found.problems.append(f"{MANIFEST}/ has a receipt of {shard!r}, which is not in the plan")
    for shard, receipt in told.receipts.items():
        counted = sum(dict(receipt["statuses"]).values())
        rows = receipt["records"] if planned.get(shard) is None else planned[shard]
        if not counted == receipt["records"] == rows:
            counts = f"{counted} of {receipt['records']} records of {shard}"
            found.problems.append(f"{MANIFEST}/ counts {counts}, and {rows} are planned")
    if told.tally is not None:
        lost = [shard_file(SCORES, shard) for shard in planned if shard not in told.receipts]
        lines = lost if told.receipts else ["any shard"] * bool(lost)
        found.problems += [f"{MANIFEST}/ has no receipt of {name}" for name in lines]
    whole = len(found.problems) == before
    if listed:
        _compare_listing(found, scan, told, SCORES, "size")
        if scan.config.keeps_embeddings:
            _compare_listing(found, scan, told, EMBEDDINGS, "embeddings_size")
    return told if whole else replace(told, tally=None)


def _told(found: Inspection) -> Told:
    before = len(found.problems)
    shards: Counter[str] = Counter()
    for name in _visible(found, MANIFEST):
        if not PART.fullmatch(name):
            found.problems.append(f"{MANIFEST}/{name} is no file of a manifest")
        elif (table := found.table(f"{MANIFEST}/{name}", RECEIPTS)) is not None:
            shards.update(table["shard"].to_pylist())
    twice = [shard for shard, times in shards.items() if times > 1]
    found.problems += [f"{MANIFEST}/ has {shards[shard]} receipts of {shard!r}" for shard in twice]
    if len(found.problems) > before:
        return Told({}, None)
    with found.checking(f"{MANIFEST}/"):
        tally = Manifest(found.output, found.fingerprints.whole).told()
        if len(tally.shards()) < len(shards):
            raise UnfitError("its receipts do not add up")
        return Told({one["shard"]: one for table in tally.receipts for one in table.to_pylist()}, tally)
    return Told({}, None)


def _compare_listing(found: Inspection, scan: Recorded, told: Told, folder: str, column: str) -> None:
    """Adds a problem for each shard's file that is not there, or has another size than its receipt says."""
    files = committed_files(found.output, folder)
    for shard in scan.shards:
        name, receipt = shard_file(folder, shard.id), told.receipts.get(shard.id)
        if shard.id not in files:
            found.problems.append(f"{name} is missing")
        elif receipt is not None and receipt[column] not in (None, files[shard.id].size):
            size = files[shard.id].size
            found.problems.append(f"{name} has {size} bytes, and {receipt[column]} were committed")


def stray_files(found: Inspection, scan: Recorded, names: Iterable[str]) -> None:
    """Adds a problem for each file where a rerun would take it for one of this scan. `names`: those that should be."""
    parts, expected = {shard_name(shard.id) for shard in scan.shards}, set(names)
    for folder in (SCORES, EMBEDDINGS, CANDIDATES, VERDICTS, VOTES):
        for name in _visible(found, folder):
            if name not in parts:
                found.problems.append(f"{folder}/{name} is not in the plan")
    for folder, prefixes in ((MEMORY, (SNAPSHOT, ROUNDS)), (CONSENSUS, (SUMS, OF_REFERENCE, WITH_VERDICTS))):
        for name in (f"{folder}/{file}" for file in found.output.names(folder)):
            if name.startswith(prefixes) and name not in expected:
                found.problems.append(f"{name} is none of this scan's")


def _visible(found: Inspection, folder: str) -> list[str]:
    return [name for name in found.output.names(folder) if not name.startswith(".")]
