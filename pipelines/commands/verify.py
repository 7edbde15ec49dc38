"""`oodscan verify`: whether a scan is whole."""

import json
from typing import Annotated

import typer

from pipelines.commands.options import AsJson, StorageOptions
from pipelines.config.load import parse_storage_options
from pipelines.errors import VERIFICATION_FAILED


def verify(
    scan: Annotated[str, typer.Argument(help="A scan directory.")],
    tables: Annotated[bool, typer.Option(help="Read every table, not the manifest alone.")] = False,
    reread: Annotated[
        bool, typer.Option(help="Read every table, and the input again, and compare every record's key.")
    ] = False,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Check that a scan is whole: every planned shard committed once, in a file as it was committed."""
    from pipelines.verify.verify import verify as run_verify

    found = run_verify(scan, parse_storage_options(storage_options), tables, reread)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        for problem in found.problems:
            typer.echo(problem)
        typer.echo(f"{found.records} records in {found.shards} shards: {len(found.problems) or 'no'} problems")
    if found.problems:
        raise typer.Exit(VERIFICATION_FAILED)
