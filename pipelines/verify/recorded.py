"""Reads what a scan directory records of its scan, scan.json and plan.parquet, and checks that the two agree."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import pyarrow as pa

from ood_core.methods import Method
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.errors import CallerError, first_line
from pipelines.inputs.listing import Kind
from pipelines.inputs.plan import NOT_PLAIN, SCHEMA, Plan, Shard, read_plan
from pipelines.scan_directory.identity import Fingerprints, asked_for, fingerprint
from pipelines.scan_directory.layout import PLAN_FILE, SCAN_FILE, VERDICT_SUMS, VERDICT_VOTES
from pipelines.verify.tables import Inspection, UnfitError

PLAN_COLUMNS = pa.schema([field.with_nullable(field.name == "rows") for field in SCHEMA])


@dataclass(frozen=True)
class Recorded:
    """A scan or rescoring as its directory records it. `has_verdicts`: whether its scores take verdicts in."""

    config: Scan | Rescore
    methods: Mapping[str, Method]
    shards: Sequence[Shard]
    identity: Mapping[str, Any]
    fingerprints: Fingerprints
    has_verdicts: bool


def recorded_scan(found: Inspection, url: str) -> Recorded | None:
    """What is recorded; None, which is a problem, if it is damaged: then nothing can be held against it.

    Raises CallerError if no scan was ever begun in the directory, or nothing in it can be read.
    """
    record, plan = found.content(SCAN_FILE), found.content(PLAN_FILE)
    if record is None and plan is None:
        missing = found.problems == [f"{SCAN_FILE} is missing", f"{PLAN_FILE} is missing"]
        reason = f"it has no {SCAN_FILE} or no {PLAN_FILE}" if missing else found.problems[0]
        raise CallerError(f"SCAN {url!r} is not a scan directory: {reason}")
    shards = None if plan is None else _shards(found, plan)
    scan = None if record is None else _scan(found, record, shards or [])
    if scan is None or shards is None:
        return None
    with found.checking(PLAN_FILE):
        if Plan(shards, {}).fingerprint != scan.identity.get("input"):
            raise UnfitError(f"it is not the plan that {SCAN_FILE} was recorded with")
        return scan
    return None


def _scan(found: Inspection, record: bytes, shards: list[Shard]) -> Recorded | None:
    try:
        recorded = json.loads(record)
        identity, expected = recorded["identity"], recorded["fingerprint"]
        config = (Rescore if identity.get("command") == "rescore" else Scan)(**recorded["config"])
        methods = config.methods()
    except Exception as error:  # JSON may hold anything
        found.problems.append(f"{SCAN_FILE} is damaged: {first_line(error)}")
        return None
    with found.checking(SCAN_FILE):
        if expected != fingerprint(identity):
            raise UnfitError("the fingerprint is not that of what it records")
        for name, value in asked_for(config, methods, identity["labels"], Plan(shards, {})).items():
            if name != "input" and name in identity and identity[name] != value:
                raise UnfitError(f"{name} is {value!r} in its configuration, and {identity[name]!r} in its identity")
        fingerprints = Fingerprints.of_identity(identity, methods, config.memory.freeze)
        has_verdicts = any(map(found.output.exists, (VERDICT_SUMS, VERDICT_VOTES)))
        return Recorded(config, methods, shards, identity, fingerprints, has_verdicts)
    return None


def _shards(found: Inspection, plan: bytes) -> list[Shard] | None:
    if found.table_from(PLAN_FILE, plan, PLAN_COLUMNS) is None:
        return None
    with found.checking(PLAN_FILE):
        shards = read_plan(plan)
        seen: set[str] = set()
        for shard in shards:
            for problem in _shard_problems(shard):
                raise UnfitError(f"{shard.id!r} {problem}")
            if shard.id in seen:
                raise UnfitError(f"{shard.id!r} is planned twice")
            seen.add(shard.id)
        return shards
    return None


def _shard_problems(shard: Shard) -> Iterator[str]:
    if not shard.id or NOT_PLAIN.search(shard.id):
        yield "is no shard's id"
    if shard.kind not in get_args(Kind):
        yield f"is of no known kind: {shard.kind!r}"
    if not shard.urls or len(shard.sizes) != len(shard.urls) or len(shard.versions) not in (0, len(shard.urls)):
        yield f"has {len(shard.urls)} files, {len(shard.sizes)} sizes and {len(shard.versions)} versions"
    if len(shard.keys) != (len(shard.urls) if shard.kind == "images" else 0):
        yield f"has {len(shard.keys)} keys of {len(shard.urls)} files"
    if min(shard.start, shard.rows or 0, *shard.sizes) < 0:
        yield "has a negative size, start or number of rows"
