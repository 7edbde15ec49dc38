"""`oodscan memory show` and `oodscan anchors show`: one command over two reports."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.options import AsJson, Format, StorageOptions, parse_format
from pipelines.config.load import parse_storage_options

if TYPE_CHECKING:
    from pipelines.reports.tables import Reported
    from pipelines.storage import Directory


def _memory(directory: "Directory", top: int) -> "Reported":
    from pipelines.reports.memory.show import show

    return show(directory, top)


def _anchors(directory: "Directory", top: int) -> "Reported":
    from pipelines.reports.anchors.show import show

    return show(directory, top)


def _show_app(about: str, shows: str, top_help: str, report: "Callable[[Directory, int], Reported]") -> typer.Typer:
    """A group of commands with the one command `show`, which prints a report on a scan."""
    app = typer.Typer(no_args_is_help=True, help=about)

    @app.command("show", help=shows)
    def show(
        scan: Annotated[str, typer.Argument(metavar="SCAN", help="A scan directory, or a rescoring's.")],
        top: Annotated[int, typer.Option(help=top_help)] = 10,
        format_: Format = None,
        storage_options: StorageOptions = [],  # noqa: B006
        as_json: AsJson = False,
    ) -> None:
        from pipelines.reports.tables import FORMATS, rendered
        from pipelines.storage import Directory

        form, directory = (
            parse_format(format_, as_json, FORMATS),
            Directory(scan, parse_storage_options(storage_options)),
        )
        typer.echo(rendered(report(directory, top), form), nl=False)

    return app


memory_app = _show_app(
    "Memories: what methods that learn have remembered of the images.",
    "What a scan remembers: how full the memory is, which labels learned most, and what that has cost.",
    "Labels shown of each method.",
    _memory,
)
anchors_app = _show_app(
    "Anchors: the kinds of images that consensus has found, and which do not belong.",
    "Which kinds of images belong least: anchors with their scores, nearest labels and some of their images.",
    "Anchors shown, those of lowest mean score first.",
    _anchors,
)
