"""What ID labels look like when no image is labelled: a first pass over the images that are to be scanned."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ood_core.criteria import NegMining
from ood_core.labels import BankInfo, LabelBank
from ood_core.labels.class_images import known_class_means
from ood_core.memory import MemoryBank
from ood_core.memory.rows import interneg_capacities
from ood_core.methods import InterNeg
from pipelines.config.labels import LabelsBuild
from pipelines.config.rescore import ReadEmbeddings
from pipelines.errors import CallerError
from pipelines.inputs.embedding_plan import plan_embeddings
from pipelines.label_banks.corpus import Corpus
from pipelines.label_banks.criteria import ClassImages, candidates_of, encoded, select
from pipelines.label_banks.workers import LabelWorkers
from pipelines.scans.workers.score_embeddings import Rescoring
from pipelines.scans.workers.texts import Texts

METHOD = "interneg"
PARAMETERS = InterNeg(max_inversions=0)


def first_pass_images(
    config: LabelsBuild, ids: Sequence[str], corpus: Corpus, workers: LabelWorkers, options: Mapping[str, Any]
) -> ClassImages:
    """p_i of METHODS.md §8 from unlabelled images: those that NegLabel's negatives leave surely ID.

    The mean of the 16 whose label is clearest; zeros for an ID label that no image is surely of. Raises CallerError if
    that is so of every label, or the embeddings cannot be read.
    """
    bank = _first_bank(config, ids, corpus, workers)
    shards = plan_embeddings(config.first_pass or (), ReadEmbeddings(), bank.dim, options).shards
    spec = Rescoring(bank, {METHOD: PARAMETERS}, ReadEmbeddings(), options, Texts(None, None, options))
    memory = MemoryBank(interneg_capacities(PARAMETERS, len(ids), False), bank.dim)
    shared = workers.share(spec)
    for found in workers.spread("learn", ((shared, shard, METHOD) for shard in shards)):
        memory.offer(found)
    sure = memory.snapshot()
    if not len(sure):
        raise CallerError(f"--first-pass {', '.join(config.first_pass or ())}: no image is surely of any ID label")
    means = known_class_means(sure.embeddings, sure.rows - 1, len(ids))
    unknown = int((~means.any(axis=1)).sum())
    return ClassImages(means, {"id_images": "first pass", "images": len(sure), "labels_without_images": unknown})


def _first_bank(config: LabelsBuild, ids: Sequence[str], corpus: Corpus, workers: LabelWorkers) -> LabelBank:
    """The ID labels and what NegLabel's criterion mines for them, under the prompts that the bank will have."""
    selection = select(NegMining(), corpus, workers)
    kept = candidates_of(selection)
    count = len(ids) + len(kept)
    if not kept.texts:
        raise CallerError("--first-pass needs negative labels for its first look, and the corpus is too small for any")
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
