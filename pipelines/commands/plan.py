"""`oodscan plan`: what a scan would read."""

import json
from typing import Annotated

import typer

from pipelines.commands.options import AsJson, StorageOptions, given_of
from pipelines.config.load import load, parse_storage_options


def plan(
    input: Annotated[list[str], typer.Option(help="As for scan.")],  # noqa: A002
    output: Annotated[str | None, typer.Option(help="A scan's directory: says what is already committed.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="SCAN", help="An earlier scan: says what is new, changed and gone since.")
    ] = None,
    images_per_shard: Annotated[int, typer.Option(help="How folders, lists and Parquet tables are cut.")] = 1000,
    image_column: Annotated[str | None, typer.Option(help="Parquet column of image bytes.")] = None,
    key_column: Annotated[str | None, typer.Option(help="Parquet column of keys.")] = None,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Show what a scan would read, and what of it is done."""
    from pipelines.config.scan import Read
    from pipelines.inputs.image_plan import plan_images
    from pipelines.inputs.plan import passed_over_line
    from pipelines.scan_directory.identity import recorded_shards
    from pipelines.scan_directory.layout import committed
    from pipelines.scan_directory.record import ScanRecord
    from pipelines.scans.since import SINCE, held_against
    from pipelines.storage import Directory, storage_errors

    options = parse_storage_options(storage_options)
    read = load(
        Read, None, given_of(images_per_shard=images_per_shard, image_column=image_column, key_column=key_column)
    )
    planned = plan_images(input, read, options)
    scan = Directory(output, options) if output else None
    with storage_errors(f"--output {output!r}"):
        before = recorded_shards(scan) if scan else {}
        done = committed(scan) if scan else set()
    earlier = held_against(ScanRecord.read(Directory(since, options), SINCE), planned.shards) if since else None
    states = earlier.states(planned.shards) if earlier else {}
    rows = [
        {
            "shard": shard.id,
            "kind": shard.kind,
            "bytes": shard.size,
            "start": shard.start,
            "rows": shard.rows,
            "committed": shard.id in done and before.get(shard.id) == shard.fingerprint,
            "changed": before.get(shard.id) not in (None, shard.fingerprint),
            **({"since": states[shard.id]} if earlier else {}),
        }
        for shard in planned.shards
    ]
    gone = {"gone": list(earlier.gone)} if earlier else {}
    if as_json:
        typer.echo(json.dumps({"shards": rows, "passed_over": dict(planned.passed_over), **gone}, indent=2))
        return
    for row in rows:
        state = "committed" if row["committed"] else "has changed since" if row["changed"] else ""
        told = " ".join(part for part in (state, row.get("since", "")) if part)
        typer.echo(f"{row['shard']:<50} {row['kind']:<8} {row['bytes']:>14,} {told}".rstrip())
    count, changed = (sum(row[state] for row in rows) for state in ("committed", "changed"))
    typer.echo(f"{len(rows)} shards, {planned.size:,} bytes, {count} committed")
    if changed:
        typer.echo(f"{changed} shards have changed since --output {output!r} was planned")
    if earlier:
        for name in earlier.gone:
            typer.echo(f"{name:<50} gone")
        typer.echo(earlier.counts)
    if planned.passed_over:
        typer.echo(f"passed over: {passed_over_line(planned.passed_over)}")
