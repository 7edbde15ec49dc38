"""`oodscan scan`: from image shards to score tables."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.ending import end, reported
from pipelines.commands.image_judge import (
    Judge,
    JudgeAnswers,
    JudgeAttempts,
    JudgeConcurrency,
    JudgeDescribe,
    JudgeDtype,
    JudgeKeyEnv,
    JudgeMaxModelLen,
    JudgeModel,
    JudgeNearest,
    JudgeRecorded,
    JudgeTensorParallel,
    JudgeTimeoutS,
    JudgeUrl,
    JudgeWorkers,
    MaxQuestions,
)
from pipelines.commands.options import (
    Address,
    AsJson,
    Calibrate,
    Compile,
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
    Since,
    StorageOptions,
    TakeOver,
    Threshold,
    Verdicts,
    WaitS,
    Workers,
    given_of,
    say,
)  # fmt: skip
from pipelines.config.load import load, parse_storage_options, parse_values
from pipelines.config.scan import Scan


def scan(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG.yaml]", help="Values for all options below.")
    ] = None,
    input: Annotated[list[str], typer.Option(help="Tar or Parquet shards, image folders, lists, patterns.")] = [],  # noqa: A002, B006
    labels: Annotated[str | None, typer.Option(help="The label bank's directory.")] = None,
    output: Annotated[str | None, typer.Option(help="The scan's directory; the same again resumes.")] = None,
    method: Method = [],  # noqa: B006
    param: Annotated[list[str], typer.Option(metavar="NAME.FIELD=VALUE", help="e.g. neglabel.groups=50")] = [],  # noqa: B006
    model: Model = None,
    pretrained: Pretrained = None,
    device: Device = None,
    dtype: Dtype = None,
    compile: Compile = None,  # noqa: A002
    mixed_processors: MixedProcessors = None,
    image_column: Annotated[str | None, typer.Option(help="Parquet column of image bytes.")] = None,
    key_column: Annotated[str | None, typer.Option(help="Parquet column of keys.")] = None,
    images_per_shard: Annotated[
        int | None, typer.Option(help="How folders, lists and Parquet tables are cut; default 1000.")
    ] = None,
    max_image_bytes: Annotated[int | None, typer.Option(help="Larger images are not read; default 256 MiB.")] = None,
    max_image_pixels: Annotated[int | None, typer.Option(help="Larger images are not decoded; default 100 M.")] = None,
    max_jpeg_scans: Annotated[int | None, typer.Option(help="JPEGs of more are not decoded; default 64.")] = None,
    max_rows_per_shard: Annotated[
        int | None,
        typer.Option(help="Tables that claim more, and more than they have bits, are not read; default 1 M."),
    ] = None,
    max_decode_s: Annotated[
        float | None, typer.Option(help="Seconds for one image, whose worker is then replaced; default 60.")
    ] = None,
    retry_s: Annotated[
        float | None, typer.Option(help="Seconds for which a failing request to a storage is repeated; default 120.")
    ] = None,
    decode: Annotated[str | None, typer.Option(help="fast (default), or exact: OpenCLIP's own pixels.")] = None,
    encode_workers: Workers = None,
    encode_cpus: Annotated[float | None, typer.Option(help="CPUs an encoder takes of Ray's count.")] = None,
    encode_gpus: Annotated[float | None, typer.Option(help="GPUs an encoder takes; fractions share one.")] = None,
    encode_threads: Annotated[int | None, typer.Option(help="torch threads of an encoder; default 1.")] = None,
    encode_block: Annotated[int | None, typer.Option(help="Images per forward pass; default 32, on a GPU 256.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images that an encoder scores at once; default 128, on a GPU 1024.")
    ] = None,
    decode_threads: Annotated[
        int | None, typer.Option(help="Threads of an encoder that decode; default: as many as it has CPUs.")
    ] = None,
    order: Order = None,
    reference: Reference = [],  # noqa: B006
    memory: MemoryUri = None,
    freeze_memory: FreezeMemory = None,
    memory_shards: MemoryShards = None,
    max_staleness: MaxStaleness = None,
    embeddings: Annotated[bool | None, typer.Option("--embeddings", help="Also store the embeddings (fp16).")] = None,
    max_bad_fraction: Annotated[float | None, typer.Option(help="Exit 3 when more are bad; default 0.01.")] = None,
    max_bad_shards: Annotated[
        int | None, typer.Option(help="Exit 3 when more archives are damaged or cannot be read; default 0.")
    ] = None,
    since: Since = None,
    verdicts: Verdicts = [],  # noqa: B006
    image_judge: Judge = None,
    image_judge_model: JudgeModel = None,
    image_judge_url: JudgeUrl = None,
    image_judge_key_env: JudgeKeyEnv = None,
    image_judge_concurrency: JudgeConcurrency = None,
    image_judge_timeout_s: JudgeTimeoutS = None,
    image_judge_recorded: JudgeRecorded = None,
    image_judge_workers: JudgeWorkers = None,
    image_judge_tensor_parallel: JudgeTensorParallel = None,
    image_judge_max_model_len: JudgeMaxModelLen = None,
    image_judge_dtype: JudgeDtype = None,
    image_judge_attempts: JudgeAttempts = None,
    image_judge_nearest: JudgeNearest = None,
    image_judge_describe: JudgeDescribe = None,
    image_judge_answers: JudgeAnswers = None,
    max_questions: MaxQuestions = None,
    keep_encoded: KeepEncoded = None,
    threshold: Threshold = [],  # noqa: B006
    calibrate: Calibrate = None,
    keep: Keep = None,
    decide_by: DecideBy = None,
    group_by: GroupBy = None,
    max_flagged: MaxFlagged = None,
    new_scan: Annotated[bool, typer.Option(help="Start over: remove what an earlier scan left in --output.")] = False,
    take_over: TakeOver = False,
    address: Address = None,
    wait_s: WaitS = None,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Score every image; rerun the same command to resume."""
    given = given_of(
        input=input or None, labels=labels, output=output, method=method or None,
        param=parse_values("--param", param) or None, embeddings=embeddings, max_bad_fraction=max_bad_fraction,
        max_bad_shards=max_bad_shards, threshold=parse_values("--threshold", threshold) or None,
        since=since, verdicts=verdicts or None,
        keep_encoded=keep_encoded, calibrate=calibrate, keep=keep, decide_by=decide_by, group_by=group_by,
        max_flagged=max_flagged, order=order,
        reference=reference or None,
        image_judge=given_of(name=image_judge, model=image_judge_model, url=image_judge_url,
                             key_env=image_judge_key_env, concurrency=image_judge_concurrency,
                             timeout_s=image_judge_timeout_s, recorded=image_judge_recorded,
                             workers=image_judge_workers, tensor_parallel=image_judge_tensor_parallel,
                             max_model_len=image_judge_max_model_len, dtype=image_judge_dtype,
                             attempts=image_judge_attempts, nearest=image_judge_nearest,
                             describe=image_judge_describe, answers=image_judge_answers,
                             max_questions=max_questions),
        memory=given_of(uri=memory, freeze=freeze_memory, shards=memory_shards, max_staleness=max_staleness),
        model=given_of(name=model, pretrained=pretrained, device=device, dtype=dtype, compile=compile,
                       mixed_processors=mixed_processors),
        read=given_of(image_column=image_column, key_column=key_column, images_per_shard=images_per_shard,
                      max_image_bytes=max_image_bytes, max_image_pixels=max_image_pixels,
                      max_jpeg_scans=max_jpeg_scans, max_rows_per_shard=max_rows_per_shard,
                      max_decode_s=max_decode_s, retry_s=retry_s, decode=decode),
        encode=given_of(workers=encode_workers, cpus=encode_cpus, gpus=encode_gpus, threads=encode_threads,
                      block=encode_block, batch_size=batch_size, decode_threads=decode_threads, wait_s=wait_s),
    )  # fmt: skip
    from pipelines.scans.scan import scan as run_scan

    chosen, options = load(Scan, config, given), parse_storage_options(storage_options)
    found = run_scan(chosen, options, address=address, say=say, new_scan=new_scan, take_over=take_over)
    end(found, chosen, reported(chosen, options), as_json)
