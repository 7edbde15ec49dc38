"""How a scan goes on and ends: progress, the summary, and the mark of success."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ood_core.methods import score_column
from pipelines.inputs.plan import Plan
from pipelines.runtime.progress import Say
from pipelines.scan_directory.columns import WEIGHT
from pipelines.scan_directory.identity import PLAN_FILE, SCAN_FILE
from pipelines.scan_directory.layout import CONSENSUS, EMBEDDINGS, FIRST_PASS, MEMORY, SCORES, SECOND_PASS, part_name
from pipelines.scan_directory.summary import Tally
from pipelines.storage import Directory

SUMMARY_FILE, SUCCESS_FILE = "summary.json", "_SUCCESS"


def clear(output: Directory) -> None:
    """Remove what a scan wrote, and nothing else."""
    folders = (SCORES, EMBEDDINGS, FIRST_PASS, SECOND_PASS, MEMORY, CONSENSUS)
    for name in (SUCCESS_FILE, SUMMARY_FILE, *folders, PLAN_FILE, SCAN_FILE):
        output.remove(name)


def tallied(output: Directory, shard_ids: Iterable[str], methods: Iterable[str]) -> Tally:
    """What the shards that are committed already hold."""
    names = list(methods)
    tally, wanted = Tally(), ["status", *map(score_column, names), *([WEIGHT] if "consensus" in names else [])]
    for shard_id in sorted(shard_ids):
        content = output.read(f"{SCORES}/{part_name(shard_id)}")
        tally.add(pq.read_table(pa.BufferReader(content), columns=wanted))
    return tally


def finish(
    output: Directory,
    planned: Plan,
    max_bad_fraction: float,
    tally: Tally,
    performance: dict[str, Any],
    learned: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes and returns the summary, and sets or takes away the mark of success. `learned`: from the images."""
    within_budget = tally.bad_fraction <= max_bad_fraction
    summary = {
        **tally.described(),
        "shards": len(planned.shards),
        "passed_over": dict(planned.passed_over),
        "max_bad_fraction": max_bad_fraction,
        "within_error_budget": within_budget,
        **({"learned": learned} if learned else {}),
        "last_run": performance,
    }
    recorded = summary
    if not performance["images"] and output.exists(SUMMARY_FILE):  # what the last run cost that did anything
        recorded = summary | {"last_run": json.loads(output.read(SUMMARY_FILE))["last_run"]}
    output.put(SUMMARY_FILE, (json.dumps(recorded, indent=2) + "\n").encode())
    if within_budget:
        output.put(SUCCESS_FILE, b"")
    else:
        output.remove(SUCCESS_FILE)
    return summary


def every_few_seconds(say: Say, wait_s: float = 5.0) -> Callable[[int, int, int], None]:
    """Says how far the scan has come: after the first shard, then now and then, and after the last."""
    begun, said = time.monotonic(), 0.0

    def progress(done: int, shards: int, images: int) -> None:
        nonlocal said
        now = time.monotonic()
        if done == shards or now - said >= wait_s:
            say(f"{done} of {shards} shards committed, {images} images, {now - begun:.0f} s")
            said = now

    return progress


def counting(tally: Tally, shards: Sequence[object], say: Say) -> Callable[[str, pa.Table], None]:
    """What is done when one of the shards is committed that was encoded, or scored by other methods, before."""
    progress, done = every_few_seconds(say), 0

    def on_commit(_: str, table: pa.Table) -> None:
        nonlocal done
        done += 1
        tally.add(table)
        progress(done, len(shards), tally.records)

    return on_commit
