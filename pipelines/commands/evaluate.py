"""`oodscan evaluate`: how well scores tell ID images from OOD images."""

from typing import Annotated

import typer

from pipelines.commands.options import AsJson, StorageOptions, parse_format, say
from pipelines.config.load import parse_storage_options


def evaluate(
    id: Annotated[  # noqa: A002
        list[str], typer.Option(help="A scan directory, score table or pattern of score tables of ID images; pooled.")
    ],
    ood: Annotated[
        list[str], typer.Option(metavar="NAME=URI", help="The same of OOD images; URIs of one name are one set.")
    ],
    method: Annotated[list[str], typer.Option(help="A row, in this order; default: all that every set has.")] = [],  # noqa: B006
    output: Annotated[
        str | None, typer.Option(help="Also write metrics.json, metrics.md and metrics.csv here.")
    ] = None,
    format_: Annotated[str | None, typer.Option("--format", help="markdown (default), json or csv.")] = None,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """AUROC and FPR95 per method and OOD set, and the average."""
    from pipelines.evaluation.evaluate import FILES, parse_sets
    from pipelines.evaluation.evaluate import evaluate as run_evaluate
    from pipelines.storage import Directory

    options = parse_storage_options(storage_options)
    printed = parse_format(format_, as_json, list(FILES))
    evaluation = run_evaluate(id, parse_sets(ood), options, method)
    rendered = evaluation.rendered()
    if output:
        directory = Directory(output, options)
        directory.check_writable("--output")
        for name, file in FILES.items():
            directory.put(file, rendered[name].encode())
    typer.echo(rendered[printed], nl=False)
    for name, lacking in evaluation.left_out.items():
        say(f"{name} is left out: it has no scores in {', '.join(lacking)}")
    for name in evaluation.incomparable:
        say(f"{name} is left out: its scores are relative to their scan, and the sets are of several scans")
    for name, counts in evaluation.sets.items():
        if counts["unscored"]:
            say(f"{name}: {counts['unscored']} records have no score and are left out")
