"""`oodscan rescore`: from stored embeddings to score tables."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.ending import end, reported
from pipelines.commands.options import (
    Address,
    AsJson,
    Calibrate,
    DecideBy,
    Device,
    Dtype,
    FreezeMemory,
    GroupBy,
    Keep,
    KeepEncoded,
    MaxFlagged,
    MaxStaleness,
    MemoryShards,
    MemoryUri,
    Method,
    MixedProcessors,
    Model,
    Order,
    Pretrained,
    Reference,
    ScoreWorkers,
    Since,
    StorageOptions,
    TakeOver,
    Threshold,
    Verdicts,
    WaitS,
    given_of,
    say,
)  # fmt: skip
from pipelines.config.load import load, parse_storage_options, parse_values
from pipelines.config.rescore import Rescore


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
    method: Method = [],  # noqa: B006
    param: Annotated[list[str], typer.Option(metavar="NAME.FIELD=VALUE", help="e.g. adaneg.proxies=sample")] = [],  # noqa: B006
    normalize: Annotated[bool | None, typer.Option("--normalize", help="Bring embeddings to unit length.")] = None,
    key_column: Annotated[
        str | None, typer.Option(help="Column of keys; default: key, id, filepath and the like.")
    ] = None,
    embedding_column: Annotated[str | None, typer.Option(help="Column of embeddings; default: embedding …")] = None,
    rows_per_shard: Annotated[int | None, typer.Option(help="How tables are cut; default 100 000.")] = None,
    retry_s: Annotated[
        float | None, typer.Option(help="Seconds for which a failing request to a storage is repeated; default 120.")
    ] = None,
    text_embeddings: Annotated[
        str | None, typer.Option(help="A Parquet table of text and embedding, in place of a model, for negrefine.")
    ] = None,
    model: Model = None,
    pretrained: Pretrained = None,
    device: Device = None,
    dtype: Dtype = None,
    mixed_processors: MixedProcessors = None,
    order: Order = None,
    reference: Reference = [],  # noqa: B006
    memory: MemoryUri = None,
    freeze_memory: FreezeMemory = None,
    memory_shards: MemoryShards = None,
    max_staleness: MaxStaleness = None,
    score_workers: ScoreWorkers = None,
    score_cpus: Annotated[float | None, typer.Option(help="CPUs a worker takes of Ray's count.")] = None,
    score_gpus: Annotated[float | None, typer.Option(help="GPUs a worker takes; fractions share one.")] = None,
    score_threads: Annotated[int | None, typer.Option(help="torch threads of a worker; default 1.")] = None,
    max_bad_fraction: Annotated[float | None, typer.Option(help="Exit 3 when more are bad; default 0.01.")] = None,
    max_bad_shards: Annotated[
        int | None, typer.Option(help="Exit 3 when more archives are damaged or cannot be read; default 0.")
    ] = None,
    since: Since = None,
    verdicts: Verdicts = [],  # noqa: B006
    keep_encoded: KeepEncoded = None,
    threshold: Threshold = [],  # noqa: B006
    calibrate: Calibrate = None,
    keep: Keep = None,
    decide_by: DecideBy = None,
    group_by: GroupBy = None,
    max_flagged: MaxFlagged = None,
    new_scan: Annotated[bool, typer.Option(help="Start over: remove what an earlier run left in --output.")] = False,
    take_over: TakeOver = False,
    address: Address = None,
    wait_s: WaitS = None,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Score stored embeddings, without the images; rerun the same command to resume."""
    given = given_of(
        embeddings=embeddings or None, labels=labels, output=output, method=method or None,
        param=parse_values("--param", param) or None, text_embeddings=text_embeddings,
        max_bad_fraction=max_bad_fraction,
        max_bad_shards=max_bad_shards, threshold=parse_values("--threshold", threshold) or None,
        since=since, verdicts=verdicts or None,
        keep_encoded=keep_encoded, calibrate=calibrate, keep=keep, decide_by=decide_by, group_by=group_by,
        max_flagged=max_flagged,
        order=order,
        reference=reference or None,
        memory=given_of(uri=memory, freeze=freeze_memory, shards=memory_shards, max_staleness=max_staleness),
        model=given_of(name=model, pretrained=pretrained, device=device, dtype=dtype,
                       mixed_processors=mixed_processors),
        read=given_of(normalize=normalize, key_column=key_column, embedding_column=embedding_column,
                    rows_per_shard=rows_per_shard, retry_s=retry_s),
        score=given_of(workers=score_workers, cpus=score_cpus, gpus=score_gpus, threads=score_threads, wait_s=wait_s),
    )  # fmt: skip
    from pipelines.scans.rescore import rescore as run_rescore

    chosen, options = load(Rescore, config, given), parse_storage_options(storage_options)
    found = run_rescore(chosen, options, address=address, say=say, new_scan=new_scan, take_over=take_over)
    end(found, chosen, reported(chosen, options), as_json)
