"""`oodscan export`: lists of what to keep and what to drop of a scan, and copies of its input without the latter."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.options import Address, AsJson, ScoreWorkers, StorageOptions, WaitS, as_lines, given_of, say
from pipelines.config.load import load, parse_storage_options
from pipelines.errors import CALLER_MISTAKE, VERIFICATION_FAILED

if TYPE_CHECKING:
    from pipelines.exports.export import Exported

PROBLEMS_SHOWN = 20


def export(
    scan: Annotated[str, typer.Argument(metavar="SCAN", help="A scan directory, or, for lists, a rescoring's.")],
    output: Annotated[
        str | None, typer.Option(help="Where the export goes; the same again makes what is missing.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="METHOD", help="Drop what this method flags; default: the one that decides in the scan."),
    ] = None,
    below: Annotated[
        float | None, typer.Option(metavar="SCORE", help="Drop what the method scores below this, whatever is flagged.")
    ] = None,
    keep_errors: Annotated[
        bool, typer.Option("--keep-errors", help="Keep records in error too, if their bytes can be copied.")
    ] = False,
    lists: Annotated[
        list[str],
        typer.Option(
            help="Lists of what to keep and drop: parquet (default), text (a key a line), datacomp (keep.npy, its "
            "subset file of uids); may be given several times."
        ),
    ] = [],  # noqa: B006
    shards: Annotated[
        bool,
        typer.Option(
            "--shards", help="Copies of the input's tars and tables without what is dropped; of image files, tars."
        ),
    ] = False,
    fiftyone: Annotated[
        bool, typer.Option("--fiftyone", help="Of image files: fiftyone.json, for fiftyone.Dataset.from_json.")
    ] = False,
    label_studio: Annotated[
        bool,
        typer.Option("--label-studio", help="Of image files: label-studio.json, tasks to look at what is flagged."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be kept and dropped, by shard.")] = False,
    score_workers: ScoreWorkers = None,
    address: Address = None,
    wait_s: WaitS = None,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """List what a scan keeps and drops, and copy its input without the latter; the input is never changed."""
    from pipelines.config.pools import ScorePool
    from pipelines.exports.export import export as run_export
    from pipelines.exports.request import Asked

    chosen = tuple(dict.fromkeys(lists)) or ("parquet",)
    asked = Asked(scan, output, by, below, keep_errors, chosen, shards, fiftyone, label_studio, dry_run)
    pool = load(ScorePool, None, given_of(workers=score_workers, wait_s=wait_s))
    found = run_export(asked, parse_storage_options(storage_options), pool=pool, address=address, say=say)
    typer.echo(json.dumps(found.described(), indent=2) if as_json else _lines(found, output))
    for receipt in found.problems[:PROBLEMS_SHOWN]:
        say(f"not exported: {receipt.problem}")
    if len(found.problems) > PROBLEMS_SHOWN:
        say(f"and {len(found.problems) - PROBLEMS_SHOWN} more")
    if found.problems:
        mismatch = any(receipt.is_mismatch for receipt in found.problems)
        raise typer.Exit(VERIFICATION_FAILED if mismatch else CALLER_MISTAKE)


def _lines(found: "Exported", output: str | None) -> str:
    tally, copies = found.tally, found.described()["copies"]
    amounts = {"kept": tally.kept, **tally.dropped}
    lines = {name: f"{amount.records:,} records, {amount.bytes:,} bytes" for name, amount in amounts.items()}
    if found.files:
        lines["lists"] = ", ".join(found.files)
    if found.receipts:
        lines["copies"] = (
            f"{copies['files']:,} files, {copies['bytes']:,} bytes, {copies['there_before']:,} there before"
        )
    if copies["damaged"]:
        lines["damage"] = f"{copies['damaged']:,} damaged places of the input are left out of the copies"
    if output:
        lines["output"] = output
    shards = (
        f"{shard:<50} "
        + ", ".join(f"{reason} {amount.records:,} ({amount.bytes:,} bytes)" for reason, amount in amounts.items())
        for shard, amounts in tally.by_shard.items()
    )
    return "\n".join([*shards, as_lines(lines)])
