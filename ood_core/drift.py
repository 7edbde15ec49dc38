"""How far the scores of two scans differ, from counts of their values: no p-values, which find everything in a million
images. Free of torch."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

LEAST_DEVIATION = 0.001
"""Scores that hardly differ from each other are measured against this much."""
MOST_BINS = 100
HISTORY, DEVIATIONS = 3, 3.0
"""How many past nights it takes to tell what is usual, and how many of their standard deviations above it is not."""


@dataclass(frozen=True)
class Counted:
    """A distribution of scores: its values, rising, and how often each occurs (from 1 on)."""

    values: Float[np.ndarray, " values"]
    counts: Int[np.ndarray, " values"]

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        return float(np.average(self.values, weights=self.counts))

    @property
    def deviation(self) -> float:
        """The standard deviation."""
        return float(np.sqrt(np.average((self.values - self.mean) ** 2, weights=self.counts)))


def wasserstein(reference: Counted, other: Counted) -> float:
    """How far scores have moved on average, in standard deviations of the reference (normed Wasserstein distance).

    0: the same distribution. Evidently calls 0.1 and more a drift. Raises ValueError if one of them is empty.
    """
    _check(reference, other)
    places = np.union1d(reference.values, other.values)
    apart = np.abs(_below(reference, places[:-1]) - _below(other, places[:-1]))
    return float(np.sum(apart * np.diff(places)) / max(reference.deviation, LEAST_DEVIATION))


def jensen_shannon(reference: Counted, other: Counted) -> float:
    """The Jensen–Shannon distance of two distributions, between 0 (the same) and 1 (nothing in common).

    Over histograms with the reference's bins (Doane 1976, as NannyML has it), and one on either side for what lies
    outside. Raises ValueError if one of them is empty.
    """
    _check(reference, other)
    edges = np.concatenate([[-np.inf], _edges(reference), [np.inf]])
    shares = [np.diff(np.concatenate([[0.0], _below(one, edges[1:-1]), [1.0]])) for one in (reference, other)]
    middle = (shares[0] + shares[1]) / 2
    divergence = sum(0.5 * _information(one, middle) for one in shares)
    return float(np.sqrt(max(0.0, divergence)))


def usual_limit(distances: Float[np.ndarray, " nights"]) -> float | None:
    """What a distance may be at most to be usual, by those of past nights: their mean and three standard deviations.

    None with fewer than `HISTORY` nights.
    """
    if len(distances) < HISTORY:
        return None
    return float(np.mean(distances) + DEVIATIONS * np.std(distances))


def _check(*distributions: Counted) -> None:
    if any(not one.total for one in distributions):
        raise ValueError("there are no scores to compare")


def _below(one: Counted, places: np.ndarray) -> np.ndarray:
    """The share of the scores that are at most each of the places."""
    ends = np.concatenate([[0], np.cumsum(one.counts)])
    return ends[np.searchsorted(one.values, places, side="right")] / one.total


def _edges(reference: Counted) -> np.ndarray:
    """Doane's bins between the least and the greatest score."""
    low, high = reference.values[0], reference.values[-1]
    if reference.total < 3 or reference.deviation == 0:
        return np.array([np.nextafter(low, -np.inf), high])
    count = reference.total
    skewness = np.average(((reference.values - reference.mean) / reference.deviation) ** 3, weights=reference.counts)
    usual = np.sqrt(6.0 * (count - 2) / ((count + 1.0) * (count + 3)))
    bins = int(np.ceil(1 + np.log2(count) + np.log2(1 + abs(skewness) / usual)))
    edges = np.linspace(low, high, min(bins, MOST_BINS) + 1)
    edges[0] = np.nextafter(low, -np.inf)  # bins are open on the left, and the lowest score is in the first
    return edges


def _information(one: np.ndarray, middle: np.ndarray) -> float:
    """The Kullback–Leibler divergence of one from the middle, in bits."""
    there = one > 0
    return float(np.sum(one[there] * np.log2(one[there] / middle[there])))
