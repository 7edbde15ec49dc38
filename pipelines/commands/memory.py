"""`oodscan memory`: look at what a scan remembers of its images."""

from typing import Annotated

import typer

from pipelines.commands.labels import Format
from pipelines.commands.options import AsJson, StorageOptions
from pipelines.config.load import parse_storage_options

memory_app = typer.Typer(no_args_is_help=True, help="Memories: what methods that learn have remembered of the images.")


@memory_app.command("show")
def memory_show(
    scan: Annotated[str, typer.Argument(metavar="SCAN", help="A scan directory, or a rescoring's.")],
    top: Annotated[int, typer.Option(help="Labels shown of each method.")] = 10,
    format_: Format = None,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """What a scan remembers: how full the memory is, which labels learned most, and what that has cost."""
    from pipelines.reports.memory.show import show
    from pipelines.reports.tables import parse_format, rendered
    from pipelines.storage import Directory

    form, directory = parse_format(format_, as_json), Directory(scan, parse_storage_options(storage_options))
    typer.echo(rendered(show(directory, top), form), nl=False)
