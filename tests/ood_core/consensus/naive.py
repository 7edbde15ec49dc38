"""METHODS.md §10 with loops and matrices of all images by all anchors, in float64; and votes to try it on."""

import numpy as np

from ood_core.consensus import Agreement, Smoothed, Sums, Votes
from ood_core.methods import Consensus


def smoothed(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """T(values). `weights`: images by anchors."""
    found = np.zeros(len(values))
    for i, row in enumerate(weights):
        others = np.arange(len(values)) != i
        for k in np.flatnonzero(row):
            theirs = weights[others, k]
            mean = theirs @ values[others] / theirs.sum() if theirs.sum() > 1e-3 else values[i]
            found[i] += row[k] * mean
    return found


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """At least 0, and 0 where there is nothing to correlate."""
    if min(one.std(), other.std()) < 1e-11:
        return 0.0
    return max(0.0, float(np.mean((one - one.mean()) * (other - other.mean())) / (one.std() * other.std())))


def trust(weights: np.ndarray, u: np.ndarray, near: np.ndarray, parameters: Consensus) -> tuple[float, np.ndarray]:
    """c and A. `near`: the cosine to the nearest anchor."""
    m = smoothed(weights, u)
    c, q = correlation(u, m), np.maximum(smoothed(weights, (u - m) ** 2), 1e-3)
    found = np.minimum(0.97, c * np.clip(1 - q, 0, 1) ** parameters.caution)
    if parameters.reach is not None:
        usual = smoothed(weights, near)
        deviation = np.sqrt(np.maximum(smoothed(weights, (near - usual) ** 2), 1e-6))
        within = np.clip(1 - np.maximum(usual - near, 0) / deviation / parameters.reach, 0, 1)
        found = np.where(m > u, found * within, found)
    return c, found


def consensus(votes: Votes, anchor_count: int, parameters: Consensus) -> tuple[float, np.ndarray, np.ndarray]:
    """c, A and the score."""
    weights = np.zeros((len(votes), anchor_count))
    np.put_along_axis(weights, votes.anchors.astype(np.int64), votes.weights.astype(np.float64), axis=1)
    u = (votes.log_odds - votes.log_odds.mean()) / (votes.log_odds.std() or 1.0)
    c, a = trust(weights, u, votes.cosines.astype(np.float64), parameters)
    score = u
    for _ in range(parameters.rounds):
        score = (1 - a) * u + a * smoothed(weights, score)
    return c, a, score


def drawn(seed: int, images: int, anchor_count: int, nearest: int, dtype: type = np.float32) -> Votes:
    """Votes at random, and log-odds that images of one anchor have half in common."""
    rng = np.random.default_rng(seed)
    anchors = np.argsort(rng.random((images, anchor_count)), axis=1)[:, :nearest].astype(np.int32)
    weights = np.exp(rng.normal(size=anchors.shape))
    weights = np.sort(weights / weights.sum(axis=1, keepdims=True), axis=1)[:, ::-1]
    log_odds = rng.normal(size=anchor_count)[anchors[:, 0]] * 2 + rng.normal(size=images) + 1.5
    return Votes(log_odds, anchors, weights.astype(dtype), rng.uniform(0.3, 1, images).astype(dtype))


def part(votes: Votes, places: np.ndarray | slice) -> Votes:
    """Those of some images."""
    return Votes(votes.log_odds[places], votes.anchors[places], votes.weights[places], votes.cosines[places])


def with_log_odds(votes: Votes, log_odds: np.ndarray) -> Votes:
    return Votes(log_odds, votes.anchors, votes.weights, votes.cosines)


def same_sums(one: Agreement, other: Agreement) -> bool:
    """To the bit, in every step."""

    def content(sums: Sums) -> tuple:
        return dict(sums.totals), sums.largest, sums.anchors.tolist()

    return [content(sums) for sums in one.known] == [content(sums) for sums in other.known]


def columns(found: Smoothed) -> np.ndarray:
    return np.stack([found.score, found.weight, found.shift])
