"""`oodscan demo`: a whole scan of the bundled drawings."""

from typing import Annotated

import typer

from pipelines.commands.options import say


def demo(
    output: Annotated[str, typer.Option(help="Where the demo's label bank and scan go.")] = "scans/demo",
) -> None:
    """A whole scan of the bundled drawings with the bundled model: animals belong, the rest does not."""
    from pipelines.demo.demo import demo as run_demo

    typer.echo(run_demo(output, say))
