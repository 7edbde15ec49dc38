"""Mean images of ID labels from unlabelled images: of those that NegLabel's negatives leave surely ID."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ood_core.criteria import NegMining
from ood_core.labels import BankInfo, LabelBank
from ood_core.labels.class_images import known_class_means
from ood_core.memory import MemoryBank
from ood_core.methods import InterNeg
from pipelines.config.labels import LabelsBuild
from pipelines.config.rescore import ReadEmbeddings
from pipelines.errors import CallerError
from pipelines.inputs.embedding_plan import EMBEDDINGS, plan_embeddings
from pipelines.inputs.stored_embeddings import StoredEmbeddings
from pipelines.label_banks.corpus import Corpus
from pipelines.label_banks.criteria import ClassImages, encoded, kept_labels, select
from pipelines.label_banks.worker_pool import LabelWorkerPool
from pipelines.memory.workers import LearnSpec

METHOD = "interneg"
PARAMETERS = InterNeg(max_inversions=0)
UNLABELLED = replace(EMBEDDINGS, option="--unlabelled-images")


def unlabelled_class_images(
    config: LabelsBuild, ids: Sequence[str], corpus: Corpus, workers: LabelWorkerPool, options: Mapping[str, Any]
) -> ClassImages:
    """The mean embedding of the images that are surely of each ID label (p_i of METHODS.md §8).

    A label's mean is of the 16 images whose label is clearest, and zeros if no image is surely of it. Raises
    CallerError if that is so of every label, or the embeddings cannot be read.
    """
    bank = _first_bank(config, ids, corpus, workers)
    shards = plan_embeddings(config.unlabelled_images or (), ReadEmbeddings(), bank.dim, options, UNLABELLED).shards
    spec = LearnSpec(bank, {METHOD: PARAMETERS}, StoredEmbeddings(ReadEmbeddings(), bank.dim, options))
    memory = MemoryBank(PARAMETERS.capacities(len(bank.texts), len(ids), False), bank.dim)
    shared = workers.share(spec)
    for found in workers.spread("learn", ((shared, shard, METHOD) for shard in shards)):
        memory.offer(found)
    sure = memory.snapshot()
    if not len(sure):
        raise CallerError(
            f"--unlabelled-images {', '.join(config.unlabelled_images or ())}: no image is surely of any ID label"
        )
    means = known_class_means(sure.embeddings, sure.rows - 1, len(ids))
    unknown = int((~means.any(axis=1)).sum())
    return ClassImages(means, {"id_images": "unlabelled images", "images": len(sure), "labels_without_images": unknown})


def _first_bank(config: LabelsBuild, ids: Sequence[str], corpus: Corpus, workers: LabelWorkerPool) -> LabelBank:
    """The ID labels and what NegLabel's criterion mines for them, under the prompts that the bank will have."""
    selection = select(NegMining(), corpus, workers)
    kept = kept_labels(selection)
    count = len(ids) + len(kept)
    if not kept.texts:
        raise CallerError(
            "--unlabelled-images needs negative labels for its first look, and the corpus is too small for any"
        )
    return LabelBank(
        texts=[*ids, *kept.texts],
        parts=["noun"] * count,
        id_count=len(ids),
        embeddings=np.concatenate([workers.ask("ids"), encoded(kept, workers)]),
        selection_scores=np.full(count, np.nan),
        verdicts=[None] * count,
        info=BankInfo(
            temperature=config.temperature or workers.facts.temperature, permutation_seed=config.permutation_seed
        ),
    )
