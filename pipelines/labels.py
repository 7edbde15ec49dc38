"""Label banks: mine negatives from a corpus, encode through a pool of actors, keep what the criterion keeps."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ood_core.criteria import ConjugatedPool, Criterion, Intermodal
from ood_core.labels import BankInfo, LabelBank
from ood_core.vocabulary import id_labels, superclass_phrase
from pipelines.config import LabelsBuild
from pipelines.corpus import WORDS_AT_ONCE, Corpus, Sources, survey
from pipelines.errors import CallerError
from pipelines.id_images import IdImages, find
from pipelines.label_files import read_words
from pipelines.stages.encode import ModelSpec
from pipelines.storage import Directory

if TYPE_CHECKING:
    from pipelines.label_criteria import ClassImages, Say, Selection
    from pipelines.label_workers import LabelWorkers


@dataclass(frozen=True)
class Build:
    """A label bank as asked for, every mistake that needs no worker to find already found."""

    config: LabelsBuild
    criterion: Criterion
    ids: list[str]
    corpus: Corpus
    id_images: IdImages | None
    output: Directory
    options: Mapping[str, Any] = field(repr=False)

    @classmethod
    def prepare(cls, config: LabelsBuild, options: Mapping[str, Any]) -> "Build":
        """Raises CallerError for whatever the caller has to mend."""
        criterion = config.criterion_parameters()
        try:
            ids = id_labels(read_words("--id-labels", config.id_labels, dict(options)))
        except ValueError as error:
            raise CallerError(f"--id-labels {config.id_labels!r}: {error}") from error
        images = _id_images(config, criterion, ids, options)
        sources = Sources(config.corpus, config.wordnet_files or criterion.wordnet_files, options)
        if isinstance(criterion, ConjugatedPool):
            corpus = survey(sources, ids, partial(superclass_phrase, seed=criterion.phrase_seed))
        else:
            corpus = survey(sources)
        output = Directory(config.output, options)
        output.check_writable("--output")
        return cls(config, criterion, ids, corpus, images, output, options)


def _id_images(
    config: LabelsBuild, criterion: Criterion, ids: list[str], options: Mapping[str, Any]
) -> IdImages | None:
    if not isinstance(criterion, Intermodal):
        return None
    if config.id_images and config.first_pass:
        raise CallerError("--id-images and --first-pass exclude each other: give one of them")
    if config.first_pass:
        return None
    if not config.id_images:
        raise CallerError(
            "--criterion interneg needs --id-images: a few labelled images of every ID label, in folders named after "
            "their labels, a Parquet table with --label-column, or a manifest of paths and labels; without labelled "
            "images give --first-pass, embeddings of the images to be scanned"
        )
    return find(config, ids, criterion.images_per_label, options)


def build(asked: Build, address: str | None = None, say: "Say" = lambda _: None) -> LabelBank:
    """Makes the bank, writes it to the output directory and returns it."""
    from pipelines.cluster import cluster, model_spec
    from pipelines.label_criteria import select
    from pipelines.label_workers import label_workers

    config, candidates = asked.config, sum(asked.corpus.counts.values())
    with cluster(address) as found:
        spec = model_spec(config.model, config.encode, found)
        say(f"{len(asked.ids)} ID labels, {candidates} candidates from {', '.join(config.corpus)}")
        most = 1 + candidates // WORDS_AT_ONCE
        with label_workers(spec, config.encode, found, asked.criterion, asked.ids, most) as workers:
            images = _class_images(asked, workers, say)
            selection = select(asked.criterion, asked.corpus, workers, images, say)
            bank = _bank(asked, selection, images, workers, spec)
    for name, content in bank.to_files().items():
        asked.output.put(name, content)
    say(f"{bank.negative_count} negative labels kept: {config.output}")
    return bank


def _class_images(asked: Build, workers: "LabelWorkers", say: "Say") -> "ClassImages | None":
    from pipelines.first_pass import first_pass_images
    from pipelines.label_criteria import class_images

    if asked.config.first_pass:
        return first_pass_images(asked.config, asked.ids, asked.corpus, workers, asked.options)
    if asked.id_images is None:
        return None
    if warning := asked.id_images.warning():
        say(warning)
    return class_images(asked.config, asked.id_images, asked.ids, workers, asked.options)


def _bank(
    asked: Build, selection: "Selection", images: "ClassImages | None", workers: "LabelWorkers", spec: ModelSpec
) -> LabelBank:
    from pipelines.label_criteria import encoded

    ids, kept = len(asked.ids), selection.kept
    scores = [rows["selection_score"].to_numpy() for rows in kept.values()]
    texts = [text for rows in kept.values() for text in rows["text"].to_pylist()]
    return LabelBank(
        texts=[*asked.ids, *texts],
        parts=["noun"] * ids + [part for part, rows in kept.items() for _ in range(len(rows))],
        id_count=ids,
        embeddings=np.concatenate([workers.ask("ids"), encoded(selection, workers)]),
        selection_scores=np.concatenate([np.full(ids, np.nan), *scores]),
        verdicts=[None] * (ids + len(texts)),
        image_embeddings=None if images is None else images.embeddings,
        info=_info(asked, selection, images, workers, spec),
    )


def _info(
    asked: Build, selection: "Selection", images: "ClassImages | None", workers: "LabelWorkers", spec: ModelSpec
) -> BankInfo:
    config, criterion = asked.config, asked.criterion
    corpus: dict[str, Any] = {"sources": list(config.corpus)}
    if "wordnet" in config.corpus:
        corpus["wordnet_files"] = list(asked.corpus.sources.wordnet_files)
    parameters = {name: value for name, value in asdict(criterion).items() if value is not None}
    steps = {
        "candidates": asked.corpus.counts,
        "surviving": selection.survivors,
        "kept": {part: len(rows) for part, rows in selection.kept.items()},
    }
    return BankInfo(
        model=spec.name,
        pretrained=spec.pretrained,
        weights=workers.facts.weights,
        prompts={name: list(getattr(criterion.prompts, name)) for name in ("id", "noun", "adjective")},
        temperature=config.temperature or workers.facts.temperature,
        permutation_seed=config.permutation_seed,
        corpus=corpus,
        criterion={"name": config.criterion, **parameters, **(images.described if images else {})},
        judge={"name": config.judge},
        counts={
            "id_labels": len(asked.ids),
            **{
                f"{step}_{part}": counts[part]
                for step, counts in steps.items()
                for part in sorted(counts)
                if counts[part]
            },
        },
    )
