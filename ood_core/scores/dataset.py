"""A whole dataset's scores in one process, the methods that learn from the images among them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ood_core.consensus.dataset import consensus
from ood_core.consensus.log_odds import log_odds
from ood_core.labels import LabelBank
from ood_core.memory import Candidates
from ood_core.methods import AdaNeg, InterNeg, Parameters, consensus_of, is_sequential, needs_texts, of_images
from ood_core.scores.adaneg import SequentialAdaNeg
from ood_core.scores.batch import EncodeWords, ImageBatch, Labels, image_batches
from ood_core.scores.image_scorer import ImageScorer, ImageScores
from ood_core.scores.interneg import InterNegLearner, Invert, SequentialInterNeg
from ood_core.scores.scorers import LEARNERS

Batches = Callable[[], Iterator[tuple[ImageBatch, Sequence[str]]]]


@torch.inference_mode()
def score_dataset(
    bank: LabelBank,
    methods: Mapping[str, Parameters],
    embeddings: Float[Tensor, "images dim"],
    keys: Sequence[str],
    *,
    encode: EncodeWords | None = None,
    invert: Invert | None = None,
    local: Float[Tensor, "images places dim"] | None = None,
    device: str = "cpu",
) -> ImageScores:
    """Scores of unit embeddings whose keys differ, by every method; higher = more in-distribution.

    In transductive order the result does not depend on the order of the images. `encode` and `invert` come from a text
    encoder, `local` from an image encoder. Raises ValueError if a method lacks what it needs; consensus its base.
    """
    asked, methods, smoothing = methods, of_images(methods), consensus_of(methods)
    if smoothing and smoothing.base not in methods:
        raise ValueError(f"consensus smooths the scores of {smoothing.base}, which is not among the methods")
    labels = Labels.of(bank, device, encode)
    embeddings = embeddings.to(labels.embeddings)

    def batches() -> Iterator[tuple[ImageBatch, Sequence[str]]]:
        start = 0
        for batch, count in image_batches(embeddings, labels):
            yield batch, keys[start : start + count]
            start += count

    learned = {
        name: learn(name, parameters, labels, batches, invert)
        for name, parameters in methods.items()
        if name in LEARNERS and not is_sequential(parameters)
    }
    at_once = {name: parameters for name, parameters in methods.items() if not is_sequential(parameters)}
    found = ImageScorer(bank, at_once, device, encode, learned)(embeddings, local)
    in_order = {
        name: _in_order(sequential(parameters, labels, batches, invert), parameters, embeddings, keys)
        for name, parameters in methods.items()
        if is_sequential(parameters)
    }
    every = {**found.scores, **in_order}
    if smoothing:
        base = log_odds(every[smoothing.base], methods[smoothing.base])
        every["consensus"] = consensus(embeddings, keys, base, smoothing, device).score
    return replace(found, scores={name: every[name] for name in asked})


def learn(name: str, parameters: Parameters, labels: Labels, batches: Batches, invert: Invert | None) -> Candidates:
    """What a method learns from all images, in transductive order."""
    learner = LEARNERS[name](parameters, labels)
    if learner.needs_verdicts:
        verdicts = [verdict for batch, keys in batches() for verdict in learner.verdicts(batch, len(keys))]
        learner.adapt(float(np.mean(verdicts)) if verdicts else 0.5)
    memory = learner.memory()
    for batch, keys in batches():
        memory.offer(learner.offers(batch, len(keys)).named(keys))
    return concluded(learner, memory.snapshot(), invert)


def concluded(learner: object, memory: Candidates, invert: Invert | None) -> Candidates:
    """From what was remembered to what the scorer is given: of InterNeg the extra negatives, else the memory."""
    if not isinstance(learner, InterNegLearner):
        return memory
    if not learner.parameters.inverts:
        return Candidates.none(learner.labels.dim)
    if invert is None:
        raise ValueError("interneg needs a text encoder to invert images; max_inversions = 0 goes without")
    return learner.extra_negatives(memory, invert)


def sequential(
    parameters: Parameters, labels: Labels, batches: Batches, invert: Invert | None
) -> SequentialAdaNeg | SequentialInterNeg:
    """What scores batch after batch. InterNeg without mean images of the ID labels first looks for them everywhere."""
    if isinstance(parameters, AdaNeg):
        return SequentialAdaNeg(parameters, labels)
    if not isinstance(parameters, InterNeg):
        raise TypeError(f"{parameters} has no sequential order")
    if needs_texts(parameters) and invert is None:
        raise ValueError("interneg needs a text encoder to invert images; max_inversions = 0 goes without")
    learner = InterNegLearner(replace(parameters, max_inversions=0), labels)
    memory = learner.memory()
    if labels.image_proxies is None:
        for batch, keys in batches():
            memory.offer(learner.offers(batch, len(keys)).named(keys))
    return SequentialInterNeg(parameters, labels, invert, learner.proxies(memory.snapshot()))


def _in_order(
    scorer: SequentialAdaNeg | SequentialInterNeg,
    parameters: Parameters,
    embeddings: Float[Tensor, "images dim"],
    keys: Sequence[str],
) -> Float64[np.ndarray, " images"]:
    size: int = parameters.batch_size  # pyright: ignore[reportAttributeAccessIssue]
    starts = range(0, len(embeddings), size)
    parts = [scorer(embeddings[start : start + size], keys[start : start + size]) for start in starts]
    return torch.cat(parts).cpu().numpy() if parts else np.empty(0)
