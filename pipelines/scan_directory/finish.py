"""How a scan ends: the summary, and the mark of success."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.inputs.listing import REQUESTS_AT_ONCE
from pipelines.inputs.plan import Plan
from pipelines.inputs.readers.record import UNREAD
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.layout import SCORES, SUCCESS_FILE, SUMMARY_FILE, committed_sizes
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.receipts import receipts_table
from pipelines.scan_directory.summary import Tally
from pipelines.storage import Directory

BAD_SHARDS_NAMED = 20


def known_receipts(
    output: Directory, fingerprint: str, shard_ids: Iterable[str], retry: bool = False
) -> tuple[Manifest, Tally, frozenset[str]]:
    """The manifest, the receipts of those of the shards that are committed already, and which of them do not count.

    A table that the manifest does not tell of is read, and counts only if it is whole and of this scan. With `retry`,
    one with records that could not be read does not count; then all others are read, since receipts are added up.
    """
    sizes, manifest = committed_sizes(output, SCORES), Manifest(output, fingerprint)
    tally = manifest.read(sizes)
    if retry and tally.statuses[UNREAD]:
        tally = Tally()
    told = tally.shards()
    untold = sorted((set(shard_ids) & sizes.keys()) - told)
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        found = [receipt for receipt in pool.map(Committer(output, fingerprint).known, untold) if receipt]
    unread = frozenset(receipt["shard"] for receipt in found if retry and UNREAD in dict(receipt["statuses"]))
    found = [receipt for receipt in found if receipt["shard"] not in unread]
    if not told:
        manifest.clear()
    if found:
        receipts = receipts_table(found)
        tally.add(receipts)
        manifest.add(receipts)
    return manifest, tally, unread


def finish(
    output: Directory,
    planned: Plan,
    config: Scan | Rescore,
    tally: Tally,
    performance: dict[str, Any],
    learned: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes and returns the summary of the whole scan, and sets the mark of success or takes it away.

    A scan succeeds if something was scored, no more than `max_bad_fraction` of the records are bad, and no more than
    `max_bad_shards` archives are damaged or could not be read, of which nobody knows how many records they held.
    `performance`: of this run; `learned`: what methods have learned from the images.
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
