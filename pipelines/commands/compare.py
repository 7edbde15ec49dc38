"""`oodscan compare` and `oodscan history`: nights held against each other."""

from typing import Annotated

import typer

from pipelines.commands.options import AsJson, StorageOptions, parse_format, say
from pipelines.config.load import parse_storage_options
from pipelines.errors import DRIFT

PageFormat = Annotated[
    str | None, typer.Option("--format", help="text (default), markdown, json, or html: a page with plots.")
]
Output = Annotated[
    str | None,
    typer.Option(help="A file for the result; .html, .md and .json say its format."),
]


def compare(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="The scan before.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The scan that is held against it.")],
    history: Annotated[
        list[str], typer.Option(metavar="SCAN", help="Nights before; with three, what is usual is known.")
    ] = [],  # noqa: B006
    fail_on: Annotated[
        str | None,
        typer.Option(metavar="NAME=NUMBER,…", help="Exit 5 from these on: drift=0.1,flagged=0.01,new-kind=20,broken=1"),
    ] = None,
    output: Output = None,
    format_: PageFormat = None,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Hold two scans against each other: scores, flags, new kinds, labels, shards."""
    from pipelines.reports.comparison.compare import compare as held_against
    from pipelines.reports.comparison.limits import Limits
    from pipelines.reports.comparison.page import comparison_page
    from pipelines.reports.comparison.show import ComparisonReport
    from pipelines.reports.ended import EndedScan
    from pipelines.reports.output import put_report
    from pipelines.storage import Directory

    form = _format(format_, as_json, output)
    limits = Limits.parse(fail_on)
    options = parse_storage_options(storage_options)
    scans = {"BEFORE": [before], "AFTER": [after], "--history": history}
    read = [EndedScan.read(Directory(url, options), called) for called, urls in scans.items() for url in urls]
    found = held_against(read[0], read[1], read[2:])
    failures = found.failures(limits)
    report = ComparisonReport(found, failures)
    typer.echo(put_report(report, lambda: comparison_page(found, failures), form, output, options), nl=False)
    for line in failures:
        say(line)
    if failures:
        raise typer.Exit(DRIFT)


def history(
    scans: Annotated[list[str], typer.Argument(metavar="SCAN…", help="Scan directories, in the order to be shown.")],
    by: Annotated[str | None, typer.Option(help="The method; default: the one that decides in the last scan.")] = None,
    output: Output = None,
    format_: PageFormat = None,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Show many nights side by side: quantiles, flagged, errors, images/s."""
    from pipelines.reports.ended import EndedScan
    from pipelines.reports.history.history import history as nights_of
    from pipelines.reports.history.page import history_page
    from pipelines.reports.output import put_report
    from pipelines.storage import Directory

    form = _format(format_, as_json, output)
    options = parse_storage_options(storage_options)
    found = nights_of([EndedScan.read(Directory(url, options)) for url in scans], by)
    typer.echo(put_report(found, lambda: history_page(found), form, output, options), nl=False)


def _format(named: str | None, as_json: bool, output: str | None) -> str:
    """The format that is named, or that the output's name stands for. Raises CallerError if it is unknown."""
    from pipelines.reports.output import PAGES, format_of

    return parse_format(named or (None if as_json else format_of(output)), as_json, PAGES)
