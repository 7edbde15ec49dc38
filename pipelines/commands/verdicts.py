"""`oodscan questions` and `oodscan verdicts`: which few images to look at, and what was said of them."""

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
from pipelines.commands.options import Address, AsJson, StorageOptions, TakeOver, given_of, say
from pipelines.config.image_judges import WithImageJudge
from pipelines.config.load import load, parse_storage_options
from pipelines.errors import CallerError

Scan = Annotated[str, typer.Argument(metavar="SCAN", help="The directory of a scan with consensus that has ended.")]


def questions(
    scan: Scan,
    count: Annotated[int, typer.Option(help="How many images to ask about, at most.")] = 50,
    output: Annotated[
        str | None, typer.Option(metavar="URI", help="Where questions.html and questions.parquet go; default: SCAN.")
    ] = None,
    address: Address = None,
    storage_options: StorageOptions = [],  # noqa: B006
) -> None:
    """Choose the images whose answer moves most, and make the page on which a person answers."""
    if count < 1:
        raise CallerError(f"--count {count} must be 1 at least")
    from pipelines.scan_directory.record import ScanRecord
    from pipelines.storage import Directory

    options = parse_storage_options(storage_options)
    directory = Directory(scan, options)
    target = Directory(output, options) if output else directory
    record = ScanRecord.read(directory)
    target.check_writable("--output")
    from pipelines.reports.questions.write import write_questions
    from pipelines.runtime.cluster import cluster
    from pipelines.verdicts.questions import ask

    with cluster(address) as found:
        asked = ask(record, count, found, say)
    page = write_questions(record, scan, asked, target)
    by_anchor = dict(zip(asked["anchor"].to_pylist(), asked["stands_for"].to_pylist(), strict=True))
    say(f"{len(asked)} questions, whose answers speak for about {sum(by_anchor.values()):.0f} images")
    typer.echo(page)


def verdicts(
    scan: Scan,
    add: Annotated[
        list[str],
        typer.Option(
            metavar="FILE",
            help="What the page of questions has saved, or a CSV or Parquet file like it: shard, index, key and "
            "verdict (yes, no, unsure) or belongs (0 to 1), by, at. May be given several times.",
        ),
    ] = [],  # noqa: B006
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
    take_over: TakeOver = False,
    address: Address = None,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Keep what was said of images with the scan, and spread it over all of them: scores and flags are made anew."""
    from pipelines.scan_directory.record import ScanRecord
    from pipelines.storage import Directory

    options = parse_storage_options(storage_options)
    config = ScanRecord.read(Directory(scan, options)).config
    given = given_of(
        name=image_judge,
        model=image_judge_model,
        url=image_judge_url,
        key_env=image_judge_key_env,
        concurrency=image_judge_concurrency,
        timeout_s=image_judge_timeout_s,
        recorded=image_judge_recorded,
        workers=image_judge_workers,
        tensor_parallel=image_judge_tensor_parallel,
        max_model_len=image_judge_max_model_len,
        dtype=image_judge_dtype,
        attempts=image_judge_attempts,
        nearest=image_judge_nearest,
        describe=image_judge_describe,
        answers=image_judge_answers,
        max_questions=max_questions,
    )
    judge = load(WithImageJudge, None, {"image_judge": given}).image_judge
    from pipelines.scans.add_verdicts import add_verdicts

    found = add_verdicts(scan, add, options, judge=judge, address=address, take_over=take_over, say=say)
    end(dict(found.summary), config, reported(config, options), as_json)
