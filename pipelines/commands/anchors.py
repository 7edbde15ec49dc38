"""`oodscan anchors`: look at the kinds of images that a scan by consensus has found."""

from typing import Annotated

import typer

from pipelines.commands.labels import Format
from pipelines.commands.options import AsJson, StorageOptions
from pipelines.config.load import parse_storage_options

anchors_app = typer.Typer(
    no_args_is_help=True, help="Anchors: the kinds of images that consensus has found, and which do not belong."
)


@anchors_app.command("show")
def anchors_show(
    scan: Annotated[str, typer.Argument(metavar="SCAN", help="A scan directory, or a rescoring's.")],
    top: Annotated[int, typer.Option(help="Anchors shown, those of lowest mean score first.")] = 10,
    format_: Format = None,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Which kinds of images belong least: anchors with their scores, nearest labels and some of their images."""
    from pipelines.reports.anchors.show import show
    from pipelines.reports.tables import parse_format, rendered
    from pipelines.storage import Directory

    form, directory = parse_format(format_, as_json), Directory(scan, parse_storage_options(storage_options))
    typer.echo(rendered(show(directory, top), form), nl=False)
