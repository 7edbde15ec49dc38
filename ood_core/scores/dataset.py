"""Scores of a whole dataset in one process, by methods that learn from the images too."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ood_core.consensus.dataset import Neighbourhood, consensus_of_neighbours, with_reference, with_verdicts
from ood_core.consensus.log_odds import log_odds
from ood_core.labels import LabelBank
from ood_core.memory import Candidates
from ood_core.methods import (
    TANL,
    Consensus,
    LearningMethod,
    Method,
    bases_of,
    choosers_of,
    consensus_of,
    learners_of,
    of_images,
    settled,
)
from ood_core.scores.batch import EncodeWords, ImageBatch, Labels, image_batches
from ood_core.scores.image_scorer import ImageScorer, ImageScores
from ood_core.scores.scorer import Batches, Invert, SequentialScorer
from ood_core.scores.tanl_rounds import run_rounds
from ood_core.scores.tanl_sequential import SequentialTANL


@torch.inference_mode()
def score_dataset(
    bank: LabelBank,
    methods: Mapping[str, Method],
    embeddings: Float[Tensor, "images dim"],
    keys: Sequence[str],
    *,
    encode: EncodeWords | None = None,
    invert: Invert | None = None,
    local: Float[Tensor, "images places dim"] | None = None,
    reference: Float[Tensor, "others dim"] | None = None,
    verdicts: Mapping[int, float] | None = None,
    noise: Mapping[str, Float[Tensor, "noise dim"]] | None = None,
    device: str = "cpu",
) -> ImageScores:
    """Scores of unit embeddings by every method; higher = more in-distribution.

    In transductive order the result does not depend on the order of the images. `keys` may repeat: a memory takes two
    images for one only if their embeddings are the same too. `encode` and `invert` come from a text encoder, `local`
    from an image encoder; `reference`: unit embeddings of images that are known to belong; `verdicts`: of some
    images, by their numbers, how probably each belongs; `noise`: by method, what the image encoder makes of images of
    noise (`noise_features`). Raises ValueError if a method lacks what it needs.
    """
    methods = settled(methods, reference is not None)
    images = of_images(methods)
    _check_bases(methods)
    labels = Labels.of(bank, device, encode)
    embeddings = embeddings.to(labels.embeddings)

    def batches() -> Iterator[tuple[ImageBatch, Sequence[str]]]:
        start = 0
        for batch, count in image_batches(embeddings, labels):
            yield batch, keys[start : start + count]
            start += count

    learners = {**learners_of(images), **learners_of(images, "streaming")}
    _check_noise(images, noise or {})
    learned: dict[str, Any] = {name: learn(chosen, labels, batches, invert) for name, chosen in learners.items()}
    for name, chosen in choosers_of(images).items():
        learned[name] = run_rounds(chosen, labels, (noise or {})[name], [embeddings]).chosen
    at_once = {name: chosen for name, chosen in images.items() if not chosen.sequential}
    found = ImageScorer(bank, at_once, device, encode, learned)(embeddings, local)
    in_order = {}
    for name, chosen in images.items():
        if isinstance(chosen, LearningMethod) and chosen.sequential:
            scorer = chosen.sequential_scorer(labels, batches, invert)
            in_order[name] = _in_order(scorer, chosen.batch_size, embeddings, keys)
        elif isinstance(chosen, TANL) and chosen.sequential:
            scorer = SequentialTANL(chosen, labels, (noise or {})[name])
            in_order[name] = _in_order(scorer, chosen.batch_size, embeddings, keys)
    every = {**found.scores, **in_order}
    every |= _by_neighbours(bank, methods, every, embeddings, keys, reference, verdicts or {})
    return replace(found, scores={name: every[name] for name in methods})


def _check_noise(methods: Mapping[str, Method], noise: Mapping[str, Tensor]) -> None:
    for name, chosen in methods.items():
        if chosen.needs_noise and name not in noise:
            raise ValueError(f"{name} needs to know what the image encoder makes of noise, see noise_features")


def _check_bases(methods: Mapping[str, Method]) -> None:
    for name, base in bases_of(methods).items():
        if base not in methods:
            raise ValueError(f"{name} goes by the scores of {base}, which is not among the methods")


def _by_neighbours(
    bank: LabelBank,
    methods: Mapping[str, Method],
    scores: Mapping[str, Float64[np.ndarray, " images"]],
    embeddings: Float[Tensor, "images dim"],
    keys: Sequence[str],
    reference: Float[Tensor, "others dim"] | None,
    verdicts: Mapping[int, float],
) -> dict[str, Float64[np.ndarray, " images"]]:
    """The scores of the methods that go by those of another, if they are asked for."""
    images, smoothing, bases = of_images(methods), consensus_of(methods), bases_of(methods)
    if not bases:
        return {}
    labels = bank.embeddings[: bank.id_count]
    others = None if reference is None else reference.to(embeddings)
    device = str(embeddings.device)
    among = Neighbourhood.of(embeddings, keys, smoothing or Consensus(), device, labels=labels, reference=others)
    if verdicts:
        among = among.told(np.array(list(verdicts), np.int64), np.array(list(verdicts.values()), np.float64))
    given = {name: log_odds(scores[base], images[base]) for name, base in bases.items()}
    found = {}
    if "reference" in given:
        found["reference"], _ = with_reference(among, given["reference"])
    if "verdicts" in given:
        found["verdicts"] = with_verdicts(among, given["verdicts"])
    if smoothing:
        found["consensus"] = consensus_of_neighbours(among, given["consensus"], smoothing).score
    return found


def learn(chosen: LearningMethod, labels: Labels, batches: Batches, invert: Invert | None) -> Candidates:
    """What a method learns from all images in transductive order, as its scorer is given it."""
    learner = chosen.learner(labels)
    if chosen.adapts:
        verdicts = [verdict for batch, keys in batches() for verdict in learner.verdicts(batch, len(keys))]
        learner.adapt(float(np.mean(verdicts)) if verdicts else 0.5)
    memory = learner.memory()
    for batch, keys in batches():
        memory.offer(learner.offers(batch, len(keys)).named(keys))
    return learner.conclude(memory.snapshot(), invert)


def _in_order(
    scorer: SequentialScorer, batch_size: int, embeddings: Float[Tensor, "images dim"], keys: Sequence[str]
) -> Float64[np.ndarray, " images"]:
    """Scores of the images in batches of `batch_size`, in the order in which they are given."""
    starts = range(0, len(embeddings), batch_size)
    parts = [scorer(embeddings[start : start + batch_size], keys[start : start + batch_size]) for start in starts]
    return torch.cat(parts).cpu().numpy() if parts else np.empty(0)
