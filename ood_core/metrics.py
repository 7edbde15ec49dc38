"""Metrics of OOD detection: AUROC, FPR95, AUPR (METHODS.md). ID is the positive class; scores: higher = ID."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Metrics:
    """How well scores separate ID from OOD images, each between 0 and 1.

    `auroc`, `aupr_in`, `aupr_out`: higher is better; `fpr95`: lower is better.
    """

    auroc: float
    fpr95: float
    aupr_in: float
    aupr_out: float


def metrics(id_scores: Float[np.ndarray, " id"], ood_scores: Float[np.ndarray, " ood"]) -> Metrics:
    """AUROC, FPR95 and AUPR of ID against OOD scores.

    Raises ValueError for an empty set or a score that is not a number.
    """
    for name, scores in (("ID", id_scores), ("OOD", ood_scores)):
        if not len(scores):
            raise ValueError(f"the {name} set has no scores")
        if np.isnan(scores).any():
            raise ValueError(f"the {name} set has {int(np.isnan(scores).sum())} scores that are not numbers")
    return Metrics(
        auroc=auroc(id_scores, ood_scores),
        fpr95=fpr_at_recall(id_scores, ood_scores, 0.95),
        aupr_in=average_precision(id_scores, ood_scores),
        aupr_out=average_precision(-ood_scores, -id_scores),
    )


def auroc(positive: Float[np.ndarray, " positive"], negative: Float[np.ndarray, " negative"]) -> float:
    """Exact Mann-Whitney statistic over all pairs, ties counted one half."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float((below + not_above).sum() / 2 / len(positive) / len(negative))


def fpr_at_recall(
    positive: Float[np.ndarray, " positive"], negative: Float[np.ndarray, " negative"], recall: float
) -> float:
    """Fraction of negatives at or above the threshold whose positive recall is nearest to `recall`.

    Thresholds are the scores in the data, from the lowest positive one up: below it only negatives are gained. Of
    thresholds with one and the same recall the lowest counts, which is the least flattering.
    """
    thresholds = np.unique(np.concatenate([positive, negative]))
    thresholds = thresholds[thresholds >= positive.min()]
    recalls = _fraction_at_or_above(positive, thresholds)
    nearest = np.argmin(np.abs(recalls - recall))
    return float(_fraction_at_or_above(negative, thresholds[nearest : nearest + 1])[0])


def average_precision(positive: Float[np.ndarray, " positive"], negative: Float[np.ndarray, " negative"]) -> float:
    """Area under the precision-recall steps: precision at each threshold times the recall gained there."""
    thresholds = np.unique(np.concatenate([positive, negative]))[::-1]
    recall = _fraction_at_or_above(positive, thresholds)
    found, false = recall * len(positive), _fraction_at_or_above(negative, thresholds) * len(negative)
    return float(np.sum(np.diff(recall, prepend=0.0) * found / (found + false)))


def _fraction_at_or_above(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    return (len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")) / len(scores)
