"""How `scan` and `rescore` end: the summary printed, and the exit code."""

import json
from collections.abc import Mapping
from typing import Any

import typer

from pipelines.commands.options import as_lines, say
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.errors import BUDGET_EXCEEDED, DRIFT

SHARDS_NAMED = 5
ESTIMATE = (
    "an estimate from the scan's own scores, which cuts even where everything belongs: give --calibrate a scan of "
    "images that belong, a --reference, or --threshold"
)


def reported(chosen: Scan | Rescore, options: Mapping[str, Any]) -> str:
    """Writes the report of a scan that has ended, and returns its URL."""
    from pipelines.reports.scan.write import write_report
    from pipelines.storage import Directory

    return write_report(Directory(chosen.output, options), called="--output")


def end(summary: dict[str, Any], chosen: Scan | Rescore, report: str, as_json: bool) -> None:
    """Prints the summary of a scan, and where its `report` is. Exits with `BUDGET_EXCEEDED` if it is no success, with
    `DRIFT` if more is flagged than may be, and says why."""
    typer.echo(json.dumps(summary, indent=2) if as_json else _lines(summary, chosen.output, report))
    _check_flags(summary.get("flags"))
    if summary["success"]:
        if not summary.get("flags", {}).get("within_max_flagged", True):
            raise typer.Exit(DRIFT)
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


def _check_flags(flags: dict[str, Any] | None) -> None:
    """Says it if more images are flagged than may be, and what an estimated threshold is worth."""
    if flags is None:
        return
    if (deciding := flags["methods"].get(flags["deciding"])) is None:
        say(f"nothing is flagged by {flags['deciding']}: no threshold lies between scores that are all the same")
        return
    if deciding["threshold"]["source"] == "estimated":
        say(f"the threshold of {flags['deciding']} is {ESTIMATE}")
    if not flags["within_max_flagged"]:
        say(
            f"{deciding['share']:.2%} of the images are flagged by {flags['deciding']}, more than "
            f"{flags['max_flagged']:.2%} (--max-flagged)"
        )


def _lines(summary: dict[str, Any], output: str, report: str) -> str:
    counts = {"records": summary["records"], **summary["statuses"]}
    if summary["passed_over"]:
        from pipelines.inputs.plan import passed_over_line

        counts["passed over"] = passed_over_line(summary["passed_over"])
    if flags := summary.get("flags"):
        found = flags["methods"].items()
        counts |= {f"flagged by {name}": _flagged(one) for name, one in found}
    counts |= {"output": output, "report": report}
    if summary["last_run"].get("steady_images_per_s"):
        counts["images/s"] = (
            f"{summary['last_run']['steady_images_per_s']:.0f}, limited by {summary['last_run']['limited_by']}"
        )
    return as_lines(counts)


def _flagged(found: dict[str, Any]) -> str:
    """How many images a method flags, as a share with its interval, and below which score."""
    shares = f"{found['share']:.2%} ({found['low']:.2%} to {found['high']:.2%})"
    return f"{found['flagged']}, {shares}, below {found['threshold']['value']:.6g} ({found['threshold']['source']})"
