"""TODO"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ood_core.criteria import ConjugatedPool, Criterion, Intermodal
from ood_core.vocabulary import id_labels, superclass_phrase
from pipelines.config.judges import Remembering
from pipelines.config.labels import LabelsBuild
from pipelines.errors import CallerError
from pipelines.inputs.label_bank import read_words
from pipelines.label_banks.answers import Answers, AnswerStore
from pipelines.label_banks.corpus import Corpus, Sources, survey
from pipelines.label_banks.id_images import IdImages, find
from pipelines.label_banks.judges import Judge, open_judge
from pipelines.storage import Directory

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Build:
    """A label bank as asked for, every mistake that needs no worker to find already found."""

    config: LabelsBuild
    criterion: Criterion
    ids: list[str]
    corpus: Corpus
    id_images: IdImages | None
    judge: Judge | None
    store: AnswerStore | None
    answers: Answers = field(repr=False)
    """Of the judge, to questions of earlier builds."""
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
        judge, store = open_judge(config.judge, options), _store(config, output)
        answers = store.read(judge) if store and judge else Answers()
        return cls(config, criterion, ids, corpus, images, judge, store, answers, output, options)


def _store(config: LabelsBuild, output: Directory) -> AnswerStore | None:
    """Where a judge's answers are kept, if it is one whose answers are worth keeping."""
    if not isinstance(config.judge, Remembering):
        return None
    if not config.judge.answers:
        return AnswerStore(output.folder("answers"))
    directory = Directory(config.judge.answers, output.options)
    directory.check_writable("--answers")
    return AnswerStore(directory)


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
