"""Checks that a scan is whole: every planned record exactly once, every file readable, every fingerprint the same."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.methods import score_column
from ood_core.vectors import vectors_of
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.errors import CallerError, ReadError, first_line
from pipelines.inputs.embedding_plan import read_rows
from pipelines.inputs.plan import Plan, Shard, read_plan
from pipelines.inputs.readers.record import STATUSES, UNREAD
from pipelines.inputs.records import records
from pipelines.scan_directory.identity import fingerprint
from pipelines.scan_directory.layout import (
    EMBEDDINGS,
    GALLERY_FILE,
    PLAN_FILE,
    RECORDS_KEY,
    SCAN_FILE,
    SCORES,
    SUCCESS_FILE,
    SUMMARY_FILE,
    shard_file,
    shard_name,
)
from pipelines.storage import Directory
from pipelines.verify.consensus import consensus_files, consensus_problems
from pipelines.verify.manifest import manifest_problems, missing_files
from pipelines.verify.memory import memory_files, memory_problems
from pipelines.verify.tables import table_and_problems


@dataclass(frozen=True)
class Verification:
    """What was checked, and a line for each problem."""

    shards: int
    records: int
    problems: list[str]

    def to_json(self) -> dict[str, Any]:
        return vars(self)


def verify(url: str, options: Mapping[str, Any], tables: bool = False, reread: bool = False) -> Verification:
    """Checks a scan directory by its manifest: that every planned shard is committed, in a file of the recorded size.

    `tables` reads every table too, and compares what it holds with its digest, the plan, the memory and the consensus;
    `reread` also reads the input again and compares every record's key. Raises CallerError if there is no scan.
    """
    output = Directory(url, options)
    try:
        scan_json, plan_parquet = output.read(SCAN_FILE), output.read(PLAN_FILE)
    except FileNotFoundError as error:
        raise CallerError(f"SCAN {url!r} is not a scan directory: it has no {SCAN_FILE} or no {PLAN_FILE}") from error
    try:
        recorded = json.loads(scan_json)
        identity, expected = recorded["identity"], recorded["fingerprint"]
        config = (Rescore if identity.get("command") == "rescore" else Scan)(**recorded["config"])
        shards = read_plan(plan_parquet)
    except (ValueError, KeyError, TypeError, pa.ArrowException, OSError) as error:
        return Verification(0, 0, [f"{SCAN_FILE} or {PLAN_FILE} is damaged: {first_line(error)}"])
    problems, statuses = [], Counter()
    if expected != fingerprint(identity):
        problems.append(f"{SCAN_FILE}: the fingerprint is not that of what it records")
    if Plan(shards, {}).fingerprint != identity.get("input"):
        problems.append(f"{PLAN_FILE} is not the plan that {SCAN_FILE} was recorded with")
    told = manifest_problems(output, shards, expected)
    problems += told.problems
    if tables or reread:
        for shard in shards:
            table, found = _read(output, SCORES, shard, expected, told.digest(shard))
            problems += found
            if table is None:
                continue
            statuses.update(table["status"].to_pylist())
            problems += _shard_problems(output, shard, table, config, expected)
            if reread:
                problems += _input_problems(table, shard, config, options)
        problems += memory_problems(output, config, shards, expected)
        problems += consensus_problems(output, config, shards, expected)
        problems += table_and_problems(output, GALLERY_FILE, expected)[1]
    else:
        statuses = told.statuses
        names = [GALLERY_FILE, *memory_files(config, shards), *consensus_files(config, shards)]
        if isinstance(config, Scan) and config.embeddings:
            names += [shard_file(EMBEDDINGS, shard.id) for shard in shards]
        problems += missing_files(output, names)
    problems += _stray_files(output, SCORES, shards) + _stray_files(output, EMBEDDINGS, shards)
    problems += _summary_problems(output, statuses)
    return Verification(len(shards), statuses.total(), list(dict.fromkeys(problems)))


def _shard_problems(
    output: Directory, shard: Shard, table: pa.Table, config: Scan | Rescore, expected: str
) -> list[str]:
    problems = [f"{shard.id}: {problem}" for problem in _table_problems(table, shard, config.method)]
    if isinstance(config, Scan) and config.embeddings:
        embeddings, found = _read(output, EMBEDDINGS, shard, expected)
        problems += found + [f"{shard.id}: {problem}" for problem in _embedding_problems(embeddings, table)]
    return problems


def _read(
    output: Directory, folder: str, shard: Shard, expected: str, digest: str | None = None
) -> tuple[pa.Table | None, list[str]]:
    name = shard_file(folder, shard.id)
    table, problems = table_and_problems(output, name, expected, digest)
    if table is None:
        return None, problems
    missing = {"key", "shard", "index", "status" if folder == SCORES else "embedding"} - set(table.column_names)
    if missing:
        return None, [f"{name} has no column {min(missing)!r}"]
    metadata = table.schema.metadata or {}
    if folder == SCORES and metadata.get(RECORDS_KEY) != str(len(table)).encode():
        problems.append(f"{name} has {len(table)} rows, but {metadata.get(RECORDS_KEY, b'?').decode()} were committed")
    return table, problems


def _table_problems(table: pa.Table, shard: Shard, methods: Sequence[str]) -> Iterator[str]:
    if table["index"].to_pylist() != list(range(len(table))):
        yield "the indices are not 0, 1, 2, … in order"
    if set(table["shard"].to_pylist()) - {shard.id}:
        yield "there are rows of another shard"
    if shard.rows is not None and len(table) != shard.rows:
        yield f"there are {len(table)} rows, and {shard.rows} are planned"
    if shard.kind == "images" and table["key"].to_pylist() != list(shard.keys):
        yield "the keys are not those of the planned files"
    unknown = set(table["status"].to_pylist()) - set(STATUSES)
    if unknown:
        yield f"the status {sorted(map(str, unknown))[0]!r} is unknown"
    ok = np.array(table["status"].to_pylist(), object) == "ok"
    for name in map(score_column, methods):
        if name not in table.column_names:
            yield f"there is no column {name}"
            continue
        values = table[name].to_numpy().astype(float)
        if np.isnan(values[ok]).any():
            yield f"{name} is missing where the status is ok"
        if not np.isnan(values[~ok]).all():
            yield f"{name} is given where the status is not ok"


def _embedding_problems(embeddings: pa.Table | None, scores: pa.Table) -> Iterator[str]:
    if embeddings is None:
        return
    ok = [
        index
        for index, status in zip(scores["index"].to_pylist(), scores["status"].to_pylist(), strict=True)
        if status == "ok"
    ]
    if embeddings["index"].to_pylist() != ok:
        yield "the embeddings are not those of the records whose status is ok"
    elif ok:
        values = vectors_of(embeddings["embedding"]).astype(np.float32)
        if np.abs(np.linalg.norm(values, axis=1) - 1).max() > 2e-3:
            yield "there are embeddings that are not of unit length"


def _input_problems(table: pa.Table, shard: Shard, config: Scan | Rescore, options: Mapping[str, Any]) -> list[str]:
    try:
        if isinstance(config, Scan):
            found = [(record.key, record.status, record.error) for record in records(shard, config.read, options)]
            keys = [key for key, _, _ in found]
            unread = next((error for _, status, error in found if status == UNREAD), None)
            if unread and UNREAD not in table["status"].to_pylist():
                return [f"{shard.id}: {unread}"]
        else:  # the keys are the same whatever dimension the embeddings should have
            keys = [key for rows in read_rows(shard, config.read, 1, options) for key in rows.keys]
    except (ReadError, ValueError) as error:
        return [f"{shard.id}: {error}"]
    if keys == table["key"].to_pylist():
        return []
    return [f"{shard.id}: the input holds {len(keys)} records, the score table {len(table)}, or their keys differ"]


def _stray_files(output: Directory, folder: str, shards: list[Shard]) -> list[str]:
    expected = {shard_name(shard.id) for shard in shards}
    stray = [name for name in output.names(folder) if name not in expected and not name.startswith(".")]
    return [f"{folder}/{name} is not in the plan" for name in stray]


def _summary_problems(output: Directory, statuses: Counter[str]) -> list[str]:
    if not output.exists(SUMMARY_FILE):
        return [f"{SUMMARY_FILE} is missing: the scan has not ended"]
    try:
        summary = json.loads(output.read(SUMMARY_FILE))
        counted, within_budget = summary["statuses"], summary["within_error_budget"]
        success = within_budget and statuses["ok"] > 0
    except (ValueError, KeyError, TypeError) as error:
        return [f"{SUMMARY_FILE} cannot be read: {first_line(error)}"]
    problems = []
    if counted != dict(statuses):
        problems.append(f"{SUMMARY_FILE} counts {counted}, the score tables {dict(statuses)}")
    if not statuses["ok"]:
        problems.append(f"nothing was scored: none of {statuses.total()} records is ok")
    if success != output.exists(SUCCESS_FILE):
        problems.append(f"{SUCCESS_FILE} and {SUMMARY_FILE} do not agree")
    return problems
