"""The `oodscan` command. Nothing heavy is imported here: help and a caller's mistake are answered at once."""

import sys
from typing import Annotated

import typer

from pipelines.commands.compare import compare, history
from pipelines.commands.demo import demo
from pipelines.commands.evaluate import evaluate
from pipelines.commands.export import export
from pipelines.commands.labels import labels_app
from pipelines.commands.plan import plan
from pipelines.commands.report import report
from pipelines.commands.rescore import rescore
from pipelines.commands.retry import retry
from pipelines.commands.scan import scan
from pipelines.commands.show import anchors_app, memory_app
from pipelines.commands.verdicts import questions, verdicts
from pipelines.commands.verify import verify
from pipelines.errors import (
    CALLER_MISTAKE,
    INTERRUPTED,
    TERMINATED,
    CallerError,
    Terminated,
    WriteError,
    cause_of,
    first_line,
)
from pipelines.runtime.interrupts import raise_on_signals

app = typer.Typer(
    name="oodscan",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Audit image datasets: score how much every image belongs. Higher = more in-distribution.",
)
for command in (
    scan,
    rescore,
    report,
    questions,
    verdicts,
    compare,
    history,
    export,
    retry,
    plan,
    evaluate,
    verify,
    demo,
):
    app.command()(command)
app.add_typer(labels_app, name="labels")
app.add_typer(memory_app, name="memory")
app.add_typer(anchors_app, name="anchors")


def main() -> None:
    """The console script: a caller's mistake is one line and exit code 2, an interruption one line and 130 or 143."""
    try:
        raise_on_signals()
        app(prog_name="oodscan")
    except CallerError as error:
        _end(f"oodscan: {error}", CALLER_MISTAKE)
    except WriteError as error:
        _end(f"oodscan: --output {first_line(cause_of(error, WriteError) or error)}", CALLER_MISTAKE)
    except SystemExit as ended:  # as which typer raises a KeyboardInterrupt
        if not (interrupted := cause_of(ended, KeyboardInterrupt)):
            raise
        said = interrupted.args  # if there was something to say
        _end("" if said else "interrupted", TERMINATED if isinstance(interrupted, Terminated) else INTERRUPTED)


def _end(line: str, code: int) -> None:
    if line:
        print(line, file=sys.stderr)  # noqa: T201
    sys.exit(code)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"oodscan {version('oodscan')}")
        raise typer.Exit


@app.callback()
def _general(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that come before the command."""


if __name__ == "__main__":
    main()
