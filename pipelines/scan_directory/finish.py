"""How a scan ends: the summary, and the mark of success."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.inputs.plan import Plan
from pipelines.scan_directory.layout import SUCCESS_FILE, SUMMARY_FILE
from pipelines.scan_directory.summary import Tally
from pipelines.storage import Directory

BAD_SHARDS_NAMED = 20


def finish(
    output: Directory,
    planned: Plan,
    config: Scan | Rescore,
    tally: Tally,
    performance: dict[str, Any],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes and returns the summary of the whole scan, and sets the mark of success or takes it away.

    A scan succeeds if something was scored, no more than `max_bad_fraction` of the records are bad, and no more than
    `max_bad_shards` archives are damaged or could not be read, of which nobody knows how many records they held.
    `performance`: of this run; `more`: further parts of the summary, of which empty ones are left out.
    """
    bad_shards = tally.bad_shards({shard.id for shard in planned.shards if shard.kind != "images"})
    within_budget = tally.bad_fraction <= config.max_bad_fraction and len(bad_shards) <= config.max_bad_shards
    summary = {
        **tally.described(),
        "shards": len(planned.shards),
        "passed_over": dict(sorted((Counter(planned.passed_over) + tally.passed_over).items())),
        "max_bad_fraction": config.max_bad_fraction,
        "bad_shards": len(bad_shards),
        "bad_shard_ids": bad_shards[:BAD_SHARDS_NAMED],
        "max_bad_shards": config.max_bad_shards,
        "within_error_budget": within_budget,
        "success": within_budget and bool(tally.scored),
        **{name: part for name, part in more.items() if part not in ({}, None)},
        "last_run": performance,
    }
    last_run = performance if performance["images"] else _last_run(output) or performance
    output.put(SUMMARY_FILE, (json.dumps(summary | {"last_run": last_run}, indent=2) + "\n").encode())
    if summary["success"]:
        output.put(SUCCESS_FILE, b"")
    else:
        output.remove(SUCCESS_FILE)
    return summary


def _last_run(output: Directory) -> Any:
    """What the summary tells of the last run that did anything; None if there is none that can be read."""
    try:
        return json.loads(output.read(SUMMARY_FILE))["last_run"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
