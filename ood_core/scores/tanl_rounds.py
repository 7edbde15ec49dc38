"""TANL whose result does not depend on the order of the images: rounds over all of them (METHODS.md §11, "Order-free").

Nothing but sums of whole numbers goes from one step to the next: they merge in any order.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from ood_core.consensus.exact import fixed, floating, sums_by
from ood_core.memory.gap import Thresholds
from ood_core.methods.tanl import TANL
from ood_core.scores.batch import Labels
from ood_core.scores.tanl import CUTS, TANLScorer, activations, best_cut_of_bins, in_bank_order, most_active

SCORE_BITS, ACTIVATION_BITS = 30, 36
"""Binary places of scores and activations as whole numbers: sums of 10^8 images stay within 64 bits."""
ID, OOD = 0, 1


@dataclass(frozen=True)
class Sums:
    """How many images of each kind there are and the sums of their values; sums add up to the bit in any order.

    Of the scores: a kind for each hundredth, one value. Of the activations: ID-confident and OOD-confident images, a
    value for each corpus label, by its row in the bank.
    """

    counts: Int64[np.ndarray, " kinds"]
    totals: Int64[np.ndarray, "kinds values"]

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.counts + other.counts, self.totals + other.totals)


@dataclass(frozen=True)
class Round:
    """What one round found: a threshold, and how many images are below it, at or above it, OOD- and ID-confident.

    A side without a confident image fell back to what the method starts with: the noise, or the ID labels' texts.
    """

    threshold: float
    below: int
    above: int
    confident_ood: int
    confident_id: int

    @property
    def ood_fell_back(self) -> bool:
        return not self.confident_ood

    @property
    def id_fell_back(self) -> bool:
        return not self.confident_id


@dataclass(frozen=True)
class TANLRounds:
    """The state of TANL after some of its steps. `start`: the activations' sums of ID labels' texts (for ID) and noise.

    `known`: the sums over all images of each step that is done. Each round has two steps: the histogram of the scores
    against the labels chosen so far; then, of the images that it shows to be ID-confident or OOD-confident, how much
    each corpus label is active, which chooses the labels anew.
    """

    parameters: TANL
    start: Sums
    known: tuple[Sums, ...] = ()

    @classmethod
    def of(cls, parameters: TANL, labels: Labels, noise: Float[Tensor, "noise dim"]) -> "TANLRounds":
        """The state before the first step. `noise`: features of images of pure noise."""
        texts = torch.cat([labels.id, noise.to(labels.embeddings)])
        is_id = np.arange(len(texts)) < labels.id_count
        return cls(parameters, _sums_of_activations(labels, texts, np.stack([is_id, ~is_id])))

    @property
    def steps(self) -> int:
        return self.parameters.passes

    @property
    def finished(self) -> bool:
        return len(self.known) == self.steps

    @property
    def next_is_histogram(self) -> bool:
        """Whether the next step is a round's first, for which ID and chosen labels suffice; its second takes all."""
        return len(self.known) % 2 == 0

    def fits(self, sums: Sums) -> bool:
        """Whether sums have the shape of those that the next step needs."""
        of_corpus = self.start.totals.shape[1]
        return sums.totals.shape == ((CUTS, 1) if self.next_is_histogram else (len(self.start.counts), of_corpus))

    def after(self, sums: Sums) -> "TANLRounds":
        """The state after the next step, whose sums over all images are given."""
        return replace(self, known=(*self.known, sums))

    def sums(self, labels: Labels, embeddings: Float[Tensor, "images dim"]) -> Sums:
        """The sums over some images that the next step needs. An image adds the same whatever stands beside it."""
        return (self._sums_of_scores if self.next_is_histogram else self._sums_of_confident)(labels, embeddings)

    def _sums_of_scores(self, labels: Labels, embeddings: Float[Tensor, "images dim"]) -> Sums:
        """How many scores are in each hundredth, and their sum. Looks at the ID labels and the chosen ones."""
        scores = self._scores(labels, embeddings)
        hundredths = np.minimum(scores * CUTS >> SCORE_BITS, CUTS - 1)
        counts = np.bincount(hundredths, minlength=CUTS).astype(np.int64)
        return Sums(counts, sums_by(hundredths, scores, CUTS)[:, None])

    def _sums_of_confident(self, labels: Labels, embeddings: Float[Tensor, "images dim"]) -> Sums:
        """The confident images' activations. Looks at ID and chosen labels; for confident images, at all labels."""
        scores, limits = self._scores(labels, embeddings), Thresholds.fixed(self.threshold, self.parameters.gap)
        unit = 2.0**SCORE_BITS
        sides = np.stack([scores > limits.positive * unit, scores < limits.negative * unit])
        confident = sides.any(axis=0)
        images = embeddings[torch.from_numpy(confident).to(embeddings.device)]
        return _sums_of_activations(labels, images, sides[:, confident])

    def _scores(self, labels: Labels, embeddings: Float[Tensor, "images dim"]) -> Int64[np.ndarray, " images"]:
        """Scores as whole numbers of 2^-SCORE_BITS."""
        scorer = TANLScorer(labels, self.chosen, self.parameters.step)
        return fixed(scorer.scores(embeddings).cpu().numpy(), SCORE_BITS)

    @cached_property
    def activation(self) -> Float64[np.ndarray, " corpus"]:
        """How much more active each corpus label is for OOD than for ID images; d in METHODS.md."""
        found = self.known[1::2]
        of_ood, of_id = (
            _mean(found[-1] if found and found[-1].counts[side] else self.start, side) for side in (OOD, ID)
        )
        return of_ood - of_id

    @cached_property
    def chosen(self) -> Int64[np.ndarray, " chosen"]:
        """The labels chosen so far, by their rows among the bank's corpus labels, the most telling first."""
        return most_active(self.activation, self.parameters.labels_kept)

    @property
    def threshold(self) -> float:
        """Of the last histogram. Raises IndexError if there is none."""
        histogram = self.known[0::2][-1]
        return best_cut_of_bins(histogram.counts, histogram.totals[:, 0])

    @property
    def rounds(self) -> tuple[Round, ...]:
        """What each round that is done found."""
        return tuple(_round(*both) for both in zip(self.known[0::2], self.known[1::2], strict=False))


def _round(histogram: Sums, confident: Sums) -> Round:
    threshold = best_cut_of_bins(histogram.counts, histogram.totals[:, 0])
    cut = round(threshold * CUTS)
    below, above = int(histogram.counts[:cut].sum()), int(histogram.counts[cut:].sum())
    return Round(threshold, below, above, int(confident.counts[OOD]), int(confident.counts[ID]))


def _mean(sums: Sums, side: int) -> Float64[np.ndarray, " corpus"]:
    return floating(sums.totals[side], ACTIVATION_BITS) / sums.counts[side]


def _sums_of_activations(
    labels: Labels, embeddings: Float[Tensor, "images dim"], sides: Bool[np.ndarray, "sides images"]
) -> Sums:
    """The activations' sums on each side, as whole numbers of 2^-ACTIVATION_BITS."""
    sums = torch.zeros(len(sides), labels.negative_count, dtype=torch.int64, device=labels.device)
    members, start = torch.from_numpy(sides).to(labels.device, torch.float64), 0
    for part in activations(labels, embeddings):
        whole = part.mul_(2.0**ACTIVATION_BITS).round_()  # float64 adds as many as these without rounding
        sums += (members[:, start : start + len(part)] @ whole).long()
        start += len(part)
    return Sums(sides.sum(axis=1), in_bank_order(labels, sums))


def run_rounds(
    parameters: TANL, labels: Labels, noise: Float[Tensor, "noise dim"], parts: Iterable[Tensor]
) -> TANLRounds:
    """Runs all steps in one process. `parts`: the embeddings of all images [images, dim], at least one part."""
    parts, found = list(parts), TANLRounds.of(parameters, labels, noise)
    while not found.finished:
        found = found.after(reduce(add, (found.sums(labels, part) for part in parts)))
    return found
