"""`oodscan report`: one page on one scan."""

from typing import Annotated

import typer

from pipelines.commands.options import StorageOptions
from pipelines.config.load import parse_storage_options


def report(
    scan: Annotated[str, typer.Argument(metavar="SCAN", help="A scan directory, or a rescoring's.")],
    since: Annotated[
        str | None, typer.Option(metavar="SCAN", help="A scan to hold it against; default: the one it was made since.")
    ] = None,
    storage_options: StorageOptions = [],  # noqa: B006
) -> None:
    """Make the page on a scan anew, as it is made at a scan's end: SCAN/report.html."""
    from pipelines.reports.scan.write import write_report
    from pipelines.storage import Directory

    options = parse_storage_options(storage_options)
    typer.echo(write_report(Directory(scan, options), Directory(since, options) if since else None))
