"""How `scan` and `rescore` end: the summary printed, and the exit code."""

import json
from typing import Any

import typer

from pipelines.commands.options import as_lines, say
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.errors import BUDGET_EXCEEDED

SHARDS_NAMED = 5


def end(summary: dict[str, Any], chosen: Scan | Rescore, as_json: bool) -> None:
    """Prints the summary of a scan; exits with `BUDGET_EXCEEDED` if it is no success, and says why."""
    typer.echo(json.dumps(summary, indent=2) if as_json else _lines(summary, chosen.output))
    if summary["success"]:
        return
    if summary["bad_fraction"] > chosen.max_bad_fraction:
        say(f"more than {chosen.max_bad_fraction:.2%} of the records are bad (--max-bad-fraction)")
    if summary["bad_shards"] > chosen.max_bad_shards:
        named = ", ".join(summary["bad_shard_ids"][:SHARDS_NAMED])
        more = ", …" if summary["bad_shards"] > SHARDS_NAMED else ""
        say(f"{summary['bad_shards']} archives are damaged or could not be read (--max-bad-shards): {named}{more}")
    if summary["within_error_budget"]:
        counts = ", ".join(f"{count} {status}" for status, count in summary["statuses"].items()) or "there are none"
        say(f"no image could be scored: {counts}")
    raise typer.Exit(BUDGET_EXCEEDED)


def _lines(summary: dict[str, Any], output: str) -> str:
    counts = {"records": summary["records"], **summary["statuses"]}
    if summary["passed_over"]:
        from pipelines.inputs.plan import passed_over_line

        counts["passed over"] = passed_over_line(summary["passed_over"])
    counts["output"] = output
    if summary["last_run"].get("steady_images_per_s"):
        counts["images/s"] = (
            f"{summary['last_run']['steady_images_per_s']:.0f}, limited by {summary['last_run']['limited_by']}"
        )
    return as_lines(counts)
