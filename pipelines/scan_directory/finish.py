"""How a scan ends: the summary, and the mark of success."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ood_core.methods import score_column
from pipelines.inputs.plan import Plan
from pipelines.scan_directory.columns import WEIGHT
from pipelines.scan_directory.layout import SCORES, SUCCESS_FILE, SUMMARY_FILE, read_table, shard_file
from pipelines.scan_directory.summary import Tally
from pipelines.storage import Directory


def tally_of(output: Directory, shard_ids: Iterable[str], methods: Iterable[str]) -> Tally:
    """The counts and scores of the shards that are committed already, read from their score tables."""
    names = list(methods)
    tally, wanted = Tally(), ["status", *map(score_column, names), *([WEIGHT] if "consensus" in names else [])]
    for shard_id in sorted(shard_ids):
        tally.add(read_table(output, shard_file(SCORES, shard_id), wanted))
    return tally


def finish(
    output: Directory,
    planned: Plan,
    max_bad_fraction: float,
    tally: Tally,
    performance: dict[str, Any],
    learned: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes and returns the summary of the whole scan, and sets the mark of success or takes it away.

    A scan succeeds if something was scored and no more than `max_bad_fraction` of the records are bad. `performance`:
    of this run; `learned`: what methods have learned from the images.
    """
    within_budget = tally.bad_fraction <= max_bad_fraction
    summary = {
        **tally.described(),
        "shards": len(planned.shards),
        "passed_over": dict(planned.passed_over),
        "max_bad_fraction": max_bad_fraction,
        "within_error_budget": within_budget,
        "success": within_budget and bool(tally.scored),
        **({"learned": learned} if learned else {}),
        "last_run": performance,
    }
    recorded = summary
    if not performance["images"] and output.exists(SUMMARY_FILE):  # of the last run that did anything
        recorded = summary | {"last_run": json.loads(output.read(SUMMARY_FILE))["last_run"]}
    output.put(SUMMARY_FILE, (json.dumps(recorded, indent=2) + "\n").encode())
    if summary["success"]:
        output.put(SUCCESS_FILE, b"")
    else:
        output.remove(SUCCESS_FILE)
    return summary
