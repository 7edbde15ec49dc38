"""The request for a label bank: what the caller asked for, with every mistake found that needs no worker to find."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ood_core.criteria import ConjugatedPool, Criterion, Intermodal
from ood_core.vocabulary import superclass_phrase
from pipelines.config.judges import StoredAnswersJudge
from pipelines.config.labels import LabelsBuild
from pipelines.errors import CallerError
from pipelines.inputs.label_bank import read_words
from pipelines.inputs.label_files import labels_of
from pipelines.judges.answers import Answers, AnswerStore, answer_store
from pipelines.judges.judge import Judge
from pipelines.judges.open_judge import open_judge
from pipelines.label_banks.corpus import Corpus, Sources, survey
from pipelines.label_banks.id_images import IdImages, find_id_images
from pipelines.storage import Directory


@dataclass(frozen=True)
class LabelBankRequest:
    """A label bank to be built: its configuration and everything that was read to check it.

    `id_images`: the labelled images to encode, for InterNeg's criterion. `store`: where new answers of the judge are
    kept. `answers`: the judge's answers of earlier builds. `options`: of remote file systems.
    """

    config: LabelsBuild
    criterion: Criterion
    ids: list[str]
    corpus: Corpus
    id_images: IdImages | None
    judge: Judge | None
    store: AnswerStore | None
    answers: Answers = field(repr=False)
    output: Directory
    options: Mapping[str, Any] = field(repr=False)

    @classmethod
    def prepare(cls, config: LabelsBuild, options: Mapping[str, Any]) -> "LabelBankRequest":
        """Reads what the configuration names. Raises CallerError for whatever the caller has to mend."""
        criterion = config.criterion_parameters()
        ids = _id_labels(config, options)
        images = _id_images(config, criterion, ids, options)
        corpus = _corpus(config, criterion, ids, options)
        output = Directory(config.output, options)
        output.check_writable("--output")
        judge, store = open_judge(config.judge, options), _answer_store(config, output)
        answers = store.read(judge) if store and judge else Answers()
        return cls(config, criterion, ids, corpus, images, judge, store, answers, output, options)


def _id_labels(config: LabelsBuild, options: Mapping[str, Any]) -> list[str]:
    try:
        return labels_of(config.id_labels, read_words("--id-labels", config.id_labels, options))
    except ValueError as error:
        raise CallerError(f"--id-labels {config.id_labels!r}: {error}") from error


def _corpus(config: LabelsBuild, criterion: Criterion, ids: list[str], options: Mapping[str, Any]) -> Corpus:
    """The candidates. CSP leaves the ID labels out of them and makes a phrase of every adjective."""
    sources = Sources(config.corpus, config.wordnet_files or criterion.wordnet_files, options)
    if isinstance(criterion, ConjugatedPool):
        return survey(sources, ids, partial(superclass_phrase, seed=criterion.phrase_seed))
    return survey(sources)


def _answer_store(config: LabelsBuild, output: Directory) -> AnswerStore | None:
    """Where the judge's answers are kept; None for a judge that answers at no cost."""
    if not isinstance(config.judge, StoredAnswersJudge):
        return None
    return answer_store(config.judge.answers, output.folder("answers"))


def _id_images(
    config: LabelsBuild, criterion: Criterion, ids: list[str], options: Mapping[str, Any]
) -> IdImages | None:
    """The labelled images that InterNeg's criterion is to learn from; None where it learns from unlabelled ones."""
    if not isinstance(criterion, Intermodal):
        return None
    if config.id_images and config.unlabelled_images:
        raise CallerError("--id-images and --unlabelled-images exclude each other: give one of them")
    if config.unlabelled_images:
        return None
    if not config.id_images:
        raise CallerError(
            "--criterion interneg needs --id-images: a few labelled images of every ID label, in folders named after "
            "their labels, a Parquet table with --label-column, or a manifest of paths and labels; without labelled "
            "images give --unlabelled-images, embeddings of the images to be scanned"
        )
    return find_id_images(config, ids, criterion.images_per_label, options)
