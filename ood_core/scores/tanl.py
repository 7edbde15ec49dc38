"""TANL: negatives that the images light up (CVPR 2026, arXiv 2603.25250; METHODS.md §11). What both orders share."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

from ood_core.numerics import BLOCK, Columns, blocks, grouped_negative_mass
from ood_core.scores.batch import ImageBatch, Labels

CUTS = 100
"""Thresholds that are tried: 0, 0.01 … 0.99."""
WITHOUT_CUT = 0.5
ACTIVATIONS_AT_ONCE = 8


def tanl(
    id_cosines: Float[Tensor, "images id_labels"],
    chosen_cosines: Float[Tensor, "images chosen"],
    step: int,
    temperature: float,
) -> Float64[Tensor, " images"]:
    """Softmax mass on the ID labels, averaged over ever longer lists of negatives; higher = more in-distribution.

    In [0, 1]. The lists are the first `step` of the chosen labels, the first 2·`step` and so on, last all of them; with
    `step` 0 only the last. `chosen_cosines`: to at least one label, the most telling first. METHODS.md §11, "Score for
    a ranked list".
    """
    id_log_mass = (id_cosines.double() / temperature).logsumexp(dim=1)
    log_masses = (chosen_cosines.double() / temperature).logcumsumexp(dim=1)
    return 1.0 - grouped_negative_mass(id_log_mass, log_masses[:, _ends(chosen_cosines.shape[1], step)])


def _ends(count: int, step: int) -> list[int]:
    """The place of each list's last label."""
    return [*(range(step - 1, count - 1, step) if step else ()), count - 1]


class TANLScorer:
    """Scores images by TANL against chosen corpus labels, whose cosines it computes itself: they are few.

    `chosen`: their rows among the bank's corpus labels, the most telling first; `step` is γ. Raises ValueError if there
    are none.
    """

    def __init__(self, labels: Labels, chosen: Int[np.ndarray, " chosen"], step: int) -> None:
        if not len(chosen):
            raise ValueError("the label bank has no corpus labels, which this method needs")
        self.labels, self.step = labels, step
        places = labels.places(torch.from_numpy(labels.id_count + chosen.astype(np.int64)).to(labels.device))
        self.columns = Columns(torch.cat([labels.id, labels.embeddings[places]]))

    def __call__(self, batch: ImageBatch) -> Float64[Tensor, " images"]:
        return self._of_block(batch.embeddings)

    def scores(self, embeddings: Float[Tensor, "images dim"]) -> Float64[Tensor, " images"]:
        """Scores of any number of images, to the last bit those of a call on blocks of them."""
        embeddings = embeddings.to(self.labels.embeddings)
        parts = [self._of_block(block)[:count] for block, count in blocks(embeddings, BLOCK)]
        return torch.cat([embeddings.new_empty(0, dtype=torch.float64), *parts])

    def _of_block(self, embeddings: Float[Tensor, "images dim"]) -> Float64[Tensor, " images"]:
        cosines = self.columns.products(embeddings)
        of_id, of_chosen = cosines[:, : self.labels.id_count], cosines[:, self.labels.id_count :]
        return tanl(of_id, of_chosen, self.step, self.labels.temperature)


def corpus_activations(
    cosines: Float[Tensor, "images labels"], id_count: int, temperature: float
) -> Float64[Tensor, "images corpus"]:
    """The corpus labels' part of the softmax over all labels, ID labels first; p(a) in METHODS.md §11."""
    return (cosines.double() / temperature).softmax(dim=1)[:, id_count:]


def activations(labels: Labels, embeddings: Float[Tensor, "images dim"]) -> Iterator[Float64[Tensor, "images corpus"]]:
    """`corpus_activations` of images or texts in order, a few at a time, columns in the order of `labels`.

    A row has the same bits whatever stands beside it.
    """
    for block, count in blocks(embeddings.to(labels.embeddings), BLOCK):
        for cosines, real in blocks(labels.columns.products(block)[:count], ACTIVATIONS_AT_ONCE):
            yield corpus_activations(cosines, labels.id_count, labels.temperature)[:real]


def in_bank_order(labels: Labels, values: Tensor) -> np.ndarray:
    """Values whose last axis goes over the corpus labels in the order of `labels`, by their rows in the bank."""
    return values.index_select(-1, labels.indices[labels.id_count :].argsort()).cpu().numpy()


def most_active(activation: Float64[np.ndarray, " corpus"], kept: int) -> Int64[np.ndarray, " chosen"]:
    """The labels of the largest values, `kept` of them or all, largest first; of equal ones the lower row first."""
    return np.argsort(-activation, kind="stable")[:kept]


def best_cut(scores: Float64[np.ndarray, " scores"]) -> float:
    """Otsu's threshold: of 0, 0.01 … 0.99 the one that splits scores into the two tightest groups; 0.5 if none does.

    The groups are those below and those at or above. Of several equally good thresholds the middle one.
    """
    ordered = np.sort(scores)
    below = np.searchsorted(ordered, np.arange(CUTS) / CUTS)
    sums = np.concatenate([np.zeros(1), ordered.cumsum()])
    above, of_below = len(ordered) - below, sums[below]
    split = (below > 0) & (above > 0)
    between = (sums[-1] - of_below) * below - of_below * above
    return _middle_of_best(np.where(split, between**2 / np.where(split, below * above, 1), -1.0).tolist())


def best_cut_of_bins(counts: Int64[np.ndarray, " bins"], totals: Int64[np.ndarray, " bins"]) -> float:
    """`best_cut` of scores in bins of a hundredth, exactly: `counts` of them in each, and their sums in any unit."""
    number, total = int(counts.sum()), int(totals.sum())
    below, of_below, found = 0, 0, []
    for count, of_bin in zip(counts.tolist(), totals.tolist(), strict=True):
        above = number - below
        between = (total - of_below) * below - of_below * above
        found.append(Fraction(between**2, below * above) if below and above else Fraction(-1))
        below, of_below = below + count, of_below + of_bin
    return _middle_of_best(found)


def _middle_of_best(between: Sequence[float] | Sequence[Fraction]) -> float:
    """`between`: for each cut n₀n₁ times the squared distance of the sides' means; below 0 where a side is empty.

    The largest goes with the least variance within the sides, as variances within and between add up to that of all.
    """
    best = max(between)
    if best < 0:
        return WITHOUT_CUT
    equally_good = [cut for cut, value in enumerate(between) if value == best]
    return equally_good[len(equally_good) // 2] / CUTS
