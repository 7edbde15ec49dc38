"""The `oodscan` command. Nothing heavy is imported here: help and a caller's mistake are answered at once."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.commands.anchors import anchors_app
from pipelines.commands.labels import labels_app
from pipelines.commands.memory import memory_app
from pipelines.commands.options import (
    Address,
    AsJson,
    Device,
    Dtype,
    FreezeMemory,
    MaxStaleness,
    MemoryShards,
    MemoryUri,
    Model,
    Order,
    Pretrained,
    StorageOptions,
    Workers,
    given_of,
    say,
    table_of,
)  # fmt: skip
from pipelines.config.load import load, parse_storage_options, parse_values
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.errors import BUDGET_EXCEEDED, CALLER_MISTAKE, VERIFICATION_FAILED, CallerError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Audit image datasets: score how much every image belongs. Higher = more in-distribution.",
)
app.add_typer(labels_app, name="labels")
app.add_typer(memory_app, name="memory")
app.add_typer(anchors_app, name="anchors")


def main() -> None:
    """The console script: a caller's mistake is one line and exit code 2."""
    try:
        app()
    except CallerError as error:
        print(f"oodscan: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(CALLER_MISTAKE)


@app.command()
def scan(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG.yaml]", help="Values for all options below.")
    ] = None,
    input: Annotated[list[str], typer.Option(help="Tar or Parquet shards, image folders, lists, patterns.")] = [],  # noqa: A002, B006
    labels: Annotated[str | None, typer.Option(help="The label bank's directory.")] = None,
    output: Annotated[str | None, typer.Option(help="The scan's directory; the same again resumes.")] = None,
    method: Annotated[list[str], typer.Option(help="A method's name; may be given several times.")] = [],  # noqa: B006
    param: Annotated[list[str], typer.Option(metavar="NAME.FIELD=VALUE", help="e.g. neglabel.groups=50")] = [],  # noqa: B006
    model: Model = None,
    pretrained: Pretrained = None,
    device: Device = None,
    dtype: Dtype = None,
    image_column: Annotated[str | None, typer.Option(help="Parquet column of image bytes.")] = None,
    key_column: Annotated[str | None, typer.Option(help="Parquet column of keys.")] = None,
    images_per_shard: Annotated[int | None, typer.Option(help="How folders and lists are cut; default 1000.")] = None,
    max_image_bytes: Annotated[int | None, typer.Option(help="Larger images are not read; default 256 MiB.")] = None,
    max_image_pixels: Annotated[int | None, typer.Option(help="Larger images are not decoded; default 100 M.")] = None,
    encode_workers: Workers = None,
    encode_cpus: Annotated[float | None, typer.Option(help="CPUs an encoder takes of Ray's count.")] = None,
    encode_gpus: Annotated[float | None, typer.Option(help="GPUs an encoder takes; fractions share one.")] = None,
    encode_threads: Annotated[int | None, typer.Option(help="torch threads of an encoder; default 1.")] = None,
    encode_block: Annotated[int | None, typer.Option(help="Images per forward pass; default 16, on a GPU 256.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Rows handed to an encoder at once; default 64, on a GPU 1024.")
    ] = None,
    decode_workers: Annotated[int | None, typer.Option(help="How many decoders run at once.")] = None,
    decode_cpus: Annotated[float | None, typer.Option(help="CPUs a decoder takes of Ray's count.")] = None,
    order: Order = None,
    memory: MemoryUri = None,
    freeze_memory: FreezeMemory = None,
    memory_shards: MemoryShards = None,
    max_staleness: MaxStaleness = None,
    embeddings: Annotated[bool | None, typer.Option("--embeddings", help="Also store the embeddings (fp16).")] = None,
    max_bad_fraction: Annotated[float | None, typer.Option(help="Exit 3 when more are bad; default 0.01.")] = None,
    new_scan: Annotated[bool, typer.Option(help="Start over: remove what an earlier scan left in --output.")] = False,
    address: Address = None,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Score every image; rerun the same command to resume."""
    given = given_of(
        input=input or None, labels=labels, output=output, method=method or None,
        param=parse_values("--param", param) or None, embeddings=embeddings, max_bad_fraction=max_bad_fraction,
        order=order,
        memory=given_of(uri=memory, freeze=freeze_memory, shards=memory_shards, max_staleness=max_staleness),
        model=given_of(name=model, pretrained=pretrained, device=device, dtype=dtype),
        read=given_of(image_column=image_column, key_column=key_column, images_per_shard=images_per_shard,
                    max_image_bytes=max_image_bytes, max_image_pixels=max_image_pixels),
        decode=given_of(workers=decode_workers, cpus=decode_cpus),
        encode=given_of(workers=encode_workers, cpus=encode_cpus, gpus=encode_gpus, threads=encode_threads,
                      block=encode_block, batch_size=batch_size),
    )  # fmt: skip
    from pipelines.scans.scan import Run
    from pipelines.scans.scan import scan as run_scan

    chosen = load(Scan, config, given)
    run = Run.prepare(chosen, parse_storage_options(storage_options), new_scan)
    _ended(run_scan(run, address, say), chosen, as_json)


@app.command()
def rescore(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG.yaml]", help="Values for all options below.")
    ] = None,
    embeddings: Annotated[
        list[str],
        typer.Option(help="Parquet tables of key and embedding, folders of them, or clip-retrieval's folder."),
    ] = [],  # noqa: B006
    labels: Annotated[str | None, typer.Option(help="The label bank's directory.")] = None,
    output: Annotated[str | None, typer.Option(help="Where the scores go; the same again resumes.")] = None,
    method: Annotated[list[str], typer.Option(help="A method's name; may be given several times.")] = [],  # noqa: B006
    param: Annotated[list[str], typer.Option(metavar="NAME.FIELD=VALUE", help="e.g. adaneg.proxies=sample")] = [],  # noqa: B006
    normalize: Annotated[bool | None, typer.Option("--normalize", help="Bring embeddings to unit length.")] = None,
    key_column: Annotated[
        str | None, typer.Option(help="Column of keys; default: key, id, filepath and the like.")
    ] = None,
    embedding_column: Annotated[str | None, typer.Option(help="Column of embeddings; default: embedding …")] = None,
    rows_per_shard: Annotated[int | None, typer.Option(help="How tables are cut; default 100 000.")] = None,
    text_embeddings: Annotated[
        str | None, typer.Option(help="A Parquet table of text and embedding, in place of a model, for negrefine.")
    ] = None,
    model: Model = None,
    pretrained: Pretrained = None,
    device: Device = None,
    dtype: Dtype = None,
    order: Order = None,
    memory: MemoryUri = None,
    freeze_memory: FreezeMemory = None,
    memory_shards: MemoryShards = None,
    max_staleness: MaxStaleness = None,
    score_workers: Annotated[int | None, typer.Option(help="Workers; default: one a GPU, else one a CPU.")] = None,
    score_cpus: Annotated[float | None, typer.Option(help="CPUs a worker takes of Ray's count.")] = None,
    score_gpus: Annotated[float | None, typer.Option(help="GPUs a worker takes; fractions share one.")] = None,
    score_threads: Annotated[int | None, typer.Option(help="torch threads of a worker; default 1.")] = None,
    max_bad_fraction: Annotated[float | None, typer.Option(help="Exit 3 when more are bad; default 0.01.")] = None,
    new_scan: Annotated[bool, typer.Option(help="Start over: remove what an earlier run left in --output.")] = False,
    address: Address = None,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Score stored embeddings, without the images; rerun the same command to resume."""
    given = given_of(
        embeddings=embeddings or None, labels=labels, output=output, method=method or None,
        param=parse_values("--param", param) or None, text_embeddings=text_embeddings,
        max_bad_fraction=max_bad_fraction,
        order=order,
        memory=given_of(uri=memory, freeze=freeze_memory, shards=memory_shards, max_staleness=max_staleness),
        model=given_of(name=model, pretrained=pretrained, device=device, dtype=dtype),
        read=given_of(normalize=normalize, key_column=key_column, embedding_column=embedding_column,
                    rows_per_shard=rows_per_shard),
        score=given_of(workers=score_workers, cpus=score_cpus, gpus=score_gpus, threads=score_threads),
    )  # fmt: skip
    from pipelines.scans.rescore import Run
    from pipelines.scans.rescore import rescore as run_rescore

    chosen = load(Rescore, config, given)
    run = Run.prepare(chosen, parse_storage_options(storage_options), new_scan)
    _ended(run_rescore(run, address, say), chosen, as_json)


@app.command()
def plan(
    input: Annotated[list[str], typer.Option(help="As for scan.")],  # noqa: A002
    output: Annotated[str | None, typer.Option(help="A scan's directory: says what is already committed.")] = None,
    images_per_shard: Annotated[int, typer.Option(help="How folders and lists are cut.")] = 1000,
    image_column: Annotated[str | None, typer.Option(help="Parquet column of image bytes.")] = None,
    key_column: Annotated[str | None, typer.Option(help="Parquet column of keys.")] = None,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Show what a scan would read, and what of it is done."""
    from pipelines.config.scan import Read
    from pipelines.inputs.plan import plan as make_plan
    from pipelines.scan_directory.layout import committed
    from pipelines.storage import Directory

    options = parse_storage_options(storage_options)
    read = load(
        Read, None, given_of(images_per_shard=images_per_shard, image_column=image_column, key_column=key_column)
    )
    planned = make_plan(input, read, options)
    done = committed(Directory(output, options)) if output else set()
    rows = [
        {"shard": shard.id, "kind": shard.kind, "bytes": shard.size, "committed": shard.id in done}
        for shard in planned.shards
    ]
    if as_json:
        typer.echo(json.dumps({"shards": rows, "passed_over": dict(planned.passed_over)}, indent=2))
        return
    for row in rows:
        typer.echo(f"{row['shard']:<50} {row['kind']:<8} {row['bytes']:>14,} {'committed' if row['committed'] else ''}")
    typer.echo(f"{len(rows)} shards, {sum(row['bytes'] for row in rows):,} bytes, {len(done)} committed")
    for suffix, count in planned.passed_over.items():
        typer.echo(f"passed over: {count} files with {suffix}")


@app.command()
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
    from pipelines.evaluation.evaluate import FILES, parse_format, parse_sets
    from pipelines.evaluation.evaluate import evaluate as run_evaluate
    from pipelines.storage import Directory

    options = parse_storage_options(storage_options)
    printed = parse_format(format_, as_json)
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


@app.command()
def verify(
    scan: Annotated[str, typer.Argument(help="A scan directory.")],
    reread: Annotated[bool, typer.Option(help="Read the input again and compare every record's key.")] = False,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Check that a scan is whole: every planned record once, files readable, fingerprints the same."""
    from pipelines.verify.verify import verify as run_verify

    found = run_verify(scan, parse_storage_options(storage_options), reread)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        for problem in found.problems:
            typer.echo(problem)
        typer.echo(f"{found.records} records in {found.shards} shards: {len(found.problems) or 'no'} problems")
    if found.problems:
        raise typer.Exit(VERIFICATION_FAILED)


@app.command()
def demo(
    output: Annotated[str, typer.Option(help="Where the demo's label bank and scan go.")] = "scans/demo",
) -> None:
    """A whole scan of the bundled drawings with the bundled model: animals belong, the rest does not."""
    from pipelines.demo import demo as run_demo

    typer.echo(run_demo(output, say))


def _ended(summary: dict[str, Any], chosen: Scan | Rescore, as_json: bool) -> None:
    """Says how a scan has ended; too many bad records have an exit code of their own."""
    typer.echo(json.dumps(summary, indent=2) if as_json else _described(summary, chosen.output))
    if not summary["within_error_budget"]:
        say(f"more than {chosen.max_bad_fraction:.2%} of the records are bad (--max-bad-fraction)")
        raise typer.Exit(BUDGET_EXCEEDED)


def _described(summary: dict[str, Any], output: str) -> str:
    counts = {"records": summary["records"], **summary["statuses"], "output": output}
    if summary["last_run"].get("steady_images_per_s"):
        counts["images/s"] = (
            f"{summary['last_run']['steady_images_per_s']:.0f}, limited by {summary['last_run']['limited_by']}"
        )
    return table_of(counts)
