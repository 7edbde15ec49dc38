"""Thresholds: where a method's scores are cut into images that belong and images that do not. Free of torch.

An image whose score is below the threshold is flagged; scores: higher = more in-distribution, everywhere.
"""

from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

KEEP, CONFIDENCE = 0.95, 0.95
NORMAL_QUANTILE = 1.959963984540054
"""Of the normal distribution, at (1 + CONFIDENCE) / 2."""
DRAWS, SEED = 100_000, 0


@dataclass(frozen=True)
class Threshold:
    """A threshold, and between which values it would lie, as `CONFIDENCE` has it, were other images drawn."""

    value: float
    low: float
    high: float


def keeping(scores: Float[np.ndarray, " images"], keep: float = KEEP) -> Threshold:
    """The highest threshold at or above which the share `keep` of images lies that belong.

    The interval holds whatever the scores' distribution is: how many of them lie below the true threshold is binomial.
    (Resampling them gives nearly the same, and covers the true threshold less often.) Raises ValueError for no scores,
    or a share that is not above 0 and at most 1.
    """
    if not len(scores):
        raise ValueError("there are no scores to keep a share of")
    ranks, ordered = ranks_keeping(len(scores), keep), np.sort(scores)
    return Threshold(*(float(ordered[rank]) for rank in ranks))


class Ranks(NamedTuple):
    """The places, from 0, of a threshold and of the ends of its interval among rising scores."""

    value: int
    low: int
    high: int


def ranks_keeping(count: int, keep: float = KEEP) -> Ranks:
    """Which of `count` rising scores are the threshold that `keeping` finds, and the ends of its interval.

    Raises ValueError for a share that is not above 0 and at most 1.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"the share of images to keep must be above 0 and at most 1, not {keep}")
    below = np.random.default_rng(SEED).binomial(count, 1 - keep, DRAWS)
    few, many = np.quantile(below, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], method="inverted_cdf").astype(int)
    return Ranks(count - int(np.ceil(keep * count - 1e-9)), max(int(few) - 1, 0), min(int(many), count - 1))


def images_needed(keep: float = KEEP, within: float = 0.01) -> int:
    """How many images it takes so that the kept share of others is within `within` of `keep`, as CONFIDENCE has it."""
    return int(np.ceil(keep * (1 - keep) * (NORMAL_QUANTILE / within) ** 2))


def estimated(values: Float[np.ndarray, " values"], counts: Int[np.ndarray, " values"]) -> float | None:
    """The threshold that splits scores into the two tightest groups (Otsu 1979), without knowing what belongs.

    An estimate that always splits: a scan in which everything belongs is cut too. `values`, rising, and how often each
    occurs. Of equally good thresholds, which all lie between two values, the middle; None if there are not two values.
    """
    there = counts > 0
    values, weights = values[there].astype(np.float64), counts[there].astype(np.float64)
    if len(values) < 2:
        return None
    centred = values - np.average(values, weights=weights)
    below, sums = np.cumsum(weights)[:-1], np.cumsum(weights * centred)[:-1]
    above = weights.sum() - below
    best = int(np.argmax(sums**2 / (below * above)))  # the more apart the means, the tighter the groups
    return float((values[best] + values[best + 1]) / 2)


def share_interval(count: int, of: int) -> tuple[float, float]:
    """Between which shares the true one lies, as CONFIDENCE has it, if `count` of so many were found (Wilson 1927)."""
    if not of:
        return 0.0, 1.0
    share, square = count / of, NORMAL_QUANTILE**2
    middle = (share + square / (2 * of)) / (1 + square / of)
    spread = NORMAL_QUANTILE / (1 + square / of) * sqrt(share * (1 - share) / of + square / (4 * of**2))
    return max(0.0, middle - spread), min(1.0, middle + spread)
