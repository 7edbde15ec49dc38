"""`oodscan labels`: make label banks, look at them, compare them."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.options import (
    Address,
    AsJson,
    Device,
    Dtype,
    Format,
    Model,
    Pretrained,
    StorageOptions,
    Workers,
    as_lines,
    given_of,
    parse_format,
    say,
)  # fmt: skip
from pipelines.config.judges import AnsweringJudge
from pipelines.config.labels import LabelsBuild
from pipelines.config.load import load, parse_storage_options
from pipelines.errors import BUDGET_EXCEEDED

labels_app = typer.Typer(
    no_args_is_help=True, help="Label banks: the labels a dataset should hold, and mined negatives."
)


@labels_app.command("build")
def labels_build(
    id_labels: Annotated[str | None, typer.Option(help="A file: a label a line, CSV, JSON (lines) or YAML.")] = None,
    output: Annotated[str | None, typer.Option(help="The label bank's directory.")] = None,
    config: Annotated[Path | None, typer.Option(metavar="CONFIG.yaml", help="Values for the other options.")] = None,
    corpus: Annotated[list[str], typer.Option(help="wordnet, or a word list: FILE, noun:FILE, adjective:FILE.")] = [],  # noqa: B006
    wordnet_file: Annotated[
        list[str], typer.Option(help="WordNet's files, e.g. noun.act; default: the criterion's.")
    ] = [],  # noqa: B006
    criterion: Annotated[
        str | None,
        typer.Option(
            help="How candidates are ranked: neglabel (default), csp, density or interneg; none keeps the whole corpus."
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="Who removes false negatives: wordnet, vllm, http, replay or none; default: wordnet, and none with "
            "--criterion none."
        ),
    ] = None,
    judge_model: Annotated[
        str | None, typer.Option(help="vllm: path or hub id of a chat model; http: the server's name of one.")
    ] = None,
    judge_url: Annotated[str | None, typer.Option(help="http: base URL, such as http://localhost:8000/v1.")] = None,
    judge_key_env: Annotated[
        str | None, typer.Option(help="http: the environment variable that holds the key; default OPENAI_API_KEY.")
    ] = None,
    judge_concurrency: Annotated[int | None, typer.Option(help="http: requests at once; default 32.")] = None,
    judge_recorded: Annotated[
        str | None, typer.Option(help="replay: answers of an earlier build, or a log of NegRefine's own.")
    ] = None,
    judge_workers: Annotated[int | None, typer.Option(help="vllm: engines; default: as many as GPUs allow.")] = None,
    judge_tensor_parallel: Annotated[int | None, typer.Option(help="vllm: GPUs of an engine; default 1.")] = None,
    judge_max_model_len: Annotated[int | None, typer.Option(help="vllm: tokens of a prompt; default 512.")] = None,
    judge_prefix_caching: Annotated[
        bool | None, typer.Option("--judge-prefix-caching/--no-judge-prefix-caching", help="vllm: on by default.")
    ] = None,
    judge_engine: Annotated[
        str | None, typer.Option(help="vllm: processor (Ray Data's), in-process or auto: processor where GPUs are.")
    ] = None,
    judge_dtype: Annotated[str | None, typer.Option(help="vllm: auto, float32, bfloat16 or float16.")] = None,
    judge_batch_size: Annotated[int | None, typer.Option(help="vllm: questions handed over at once.")] = None,
    judge_attempts: Annotated[int | None, typer.Option(help="vllm, http: how often a question is asked.")] = None,
    judge_timeout_s: Annotated[float | None, typer.Option(help="http: seconds to wait for an answer.")] = None,
    judge_nearest: Annotated[int | None, typer.Option(help="ID labels asked about for a negative; default 10.")] = None,
    judge_clean: Annotated[
        bool | None,
        typer.Option(
            "--judge-clean/--no-judge-clean",
            help="Keep letters, hyphens, underscores and spaces of a word only; default: not for wordnet.",
        ),
    ] = None,
    answers: Annotated[
        str | None, typer.Option(help="vllm, http: the folder of answers, for several builds; default: in --output.")
    ] = None,
    max_unjudged: Annotated[
        float | None, typer.Option(help="Exit 3 when more lack an answer that is needed; default 0.01.")
    ] = None,
    quantile: Annotated[float | None, typer.Option(help="neglabel: η of NegMining; default 0.95.")] = None,
    fraction: Annotated[
        float | None,
        typer.Option(help="Share of candidates kept, not for interneg and none; default 0.15, density 0.23."),
    ] = None,
    adjective_fraction: Annotated[
        float | None, typer.Option(help="The same of adjectives; default: --fraction, density 0.13.")
    ] = None,
    phrase_seed: Annotated[int | None, typer.Option(help="csp: draws the noun of each phrase; default 0.")] = None,
    neighbours: Annotated[int | None, typer.Option(help="density: nearest candidates looked at; default 100.")] = None,
    negatives: Annotated[int | None, typer.Option(help="interneg: candidates kept in all; default 2000.")] = None,
    id_images: Annotated[
        list[str],
        typer.Option(
            help="interneg: labelled images of your labels: folders named after labels, a Parquet table with "
            "--label-column, or a CSV or Parquet manifest of path and label; several times."
        ),
    ] = [],  # noqa: B006
    label_column: Annotated[str | None, typer.Option(help="Column of labels in --id-images; default label.")] = None,
    unlabelled_images: Annotated[
        list[str],
        typer.Option(
            help="interneg, in place of --id-images: embeddings of unlabelled images (as for rescore), of which those "
            "that are surely of a label stand for it."
        ),
    ] = [],  # noqa: B006
    images_per_label: Annotated[int | None, typer.Option(help="Most images used of a label; default 16.")] = None,
    image_column: Annotated[str | None, typer.Option(help="Parquet column of image bytes in --id-images.")] = None,
    key_column: Annotated[str | None, typer.Option(help="Parquet column of keys in --id-images.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Softmax temperature; default: the model's own.")] = None,
    permutation_seed: Annotated[int | None, typer.Option(help="Seed of the negatives' groups; default 0.")] = None,
    model: Model = None,
    pretrained: Pretrained = None,
    device: Device = None,
    dtype: Dtype = None,
    encode_workers: Workers = None,
    encode_threads: Annotated[int | None, typer.Option(help="torch threads of an encoder; default 1.")] = None,
    address: Address = None,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Mine negative labels for a dataset's labels, have them judged, and encode both."""
    judging = given_of(
        name=judge, model=judge_model, url=judge_url, key_env=judge_key_env, concurrency=judge_concurrency,
        recorded=judge_recorded, workers=judge_workers, tensor_parallel=judge_tensor_parallel,
        max_model_len=judge_max_model_len, prefix_caching=judge_prefix_caching, engine=judge_engine, dtype=judge_dtype,
        batch_size=judge_batch_size, attempts=judge_attempts, timeout_s=judge_timeout_s, nearest=judge_nearest,
        clean=judge_clean, answers=answers, max_unjudged=max_unjudged,
    )  # fmt: skip
    given = given_of(
        id_labels=id_labels, output=output, corpus=corpus or None, wordnet_files=wordnet_file or None,
        criterion=criterion, judge=judging, quantile=quantile, fraction=fraction, adjective_fraction=adjective_fraction,
        phrase_seed=phrase_seed, neighbours=neighbours, negatives=negatives, id_images=id_images or None,
        label_column=label_column, unlabelled_images=unlabelled_images or None, images_per_label=images_per_label,
        temperature=temperature, permutation_seed=permutation_seed,
        read=given_of(image_column=image_column, key_column=key_column),
        model=given_of(name=model, pretrained=pretrained, device=device, dtype=dtype),
        encode=given_of(workers=encode_workers, threads=encode_threads),
    )  # fmt: skip
    from pipelines.label_banks.build import build, unjudged_fraction
    from pipelines.label_banks.request import LabelBankRequest

    asked = LabelBankRequest.prepare(load(LabelsBuild, config, given), parse_storage_options(storage_options))
    bank = build(asked, address, say)
    counts = {**bank.info.counts, "content_hash": bank.content_hash()}
    typer.echo(json.dumps(counts, indent=2) if as_json else as_lines(counts))
    if isinstance(asked.config.judge, AnsweringJudge) and unjudged_fraction(bank) > asked.config.judge.max_unjudged:
        say(f"{unjudged_fraction(bank):.2%} of the candidates are unjudged (--max-unjudged)")
        raise typer.Exit(BUDGET_EXCEEDED)


Bank = Annotated[str, typer.Argument(metavar="BANK", help="A label bank's directory.")]
Examples = Annotated[int | None, typer.Option(help="Labels shown of each kind; default 5, with --decision all.")]


@labels_app.command("show")
def labels_show(
    bank: Bank,
    decision: Annotated[
        str | None,
        typer.Option(help="List what met it: kept, unjudged, proper-noun, same or subcategory."),
    ] = None,
    examples: Examples = None,
    format_: Format = None,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """What a label bank is, and what went at each step on the way to it, and why."""
    from pipelines.reports.labels.show import show, show_decision
    from pipelines.reports.tables import FORMATS, rendered
    from pipelines.storage import Directory

    form, directory = parse_format(format_, as_json, FORMATS), Directory(bank, parse_storage_options(storage_options))
    found = show_decision(directory, decision, examples) if decision else show(directory, examples)
    typer.echo(rendered(found, form), nl=False)


@labels_app.command("diff")
def labels_diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A label bank's directory.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another's.")],
    examples: Examples = None,
    format_: Format = None,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """How two label banks differ, and why negative labels are in one of them only."""
    from pipelines.reports.labels.diff import diff
    from pipelines.reports.tables import FORMATS, rendered
    from pipelines.storage import Directory

    form, options = parse_format(format_, as_json, FORMATS), parse_storage_options(storage_options)
    typer.echo(rendered(diff(Directory(a, options), Directory(b, options), examples), form), nl=False)
