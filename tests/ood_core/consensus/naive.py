"""METHODS.md §10 to §10d with loops and matrices of all images by all anchors, in float64; and votes to try it on."""

from dataclasses import replace

import numpy as np

from ood_core.consensus import Agreement, LabelVotes, Smoothed, Sums, Votes
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
        found = np.where(m > u, found * within_reach(weights, near, parameters.reach), found)
    return c, found


def within_reach(weights: np.ndarray, near: np.ndarray, reach: float) -> np.ndarray:
    """How much of what raises an image counts."""
    usual = smoothed(weights, near)
    deviation = np.sqrt(np.maximum(smoothed(weights, (near - usual) ** 2), 1e-6))
    return np.clip(1 - np.maximum(usual - near, 0) / deviation / reach, 0, 1)


def consensus(votes: Votes, anchor_count: int, parameters: Consensus) -> tuple[float, np.ndarray, np.ndarray]:
    """c, A and the score."""
    weights = on_all(votes.anchors, votes.weights, anchor_count)
    u = (votes.log_odds - votes.log_odds.mean()) / (votes.log_odds.std() or 1.0)
    c, a = trust(weights, u, votes.cosines.astype(np.float64), parameters)
    score = u
    for _ in range(parameters.rounds):
        score = (1 - a) * u + a * smoothed(weights, score)
    return c, a, score


def on_all(places: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """The weights as a matrix with a column for every place."""
    found = np.zeros((len(places), count))
    np.put_along_axis(found, places.astype(np.int64), weights.astype(np.float64), axis=1)
    return found


def reference(votes: Votes, others: Votes, anchor_count: int, label_count: int) -> tuple[np.ndarray, ...]:
    """e, g and d of images. `others`: the votes of the reference's."""
    assert votes.on_labels and others.on_labels
    mine, theirs = (on_all(some.anchors, some.weights, anchor_count) for some in (votes, others))
    mine_on_labels = on_all(votes.on_labels.labels, votes.on_labels.weights, label_count)
    theirs_on_labels = on_all(others.on_labels.labels, others.on_labels.weights, label_count)
    e, g, images = np.zeros(len(votes)), np.zeros(len(votes)), len(others)
    for i in range(len(votes)):
        if not images:
            continue
        rho = images / max(len(votes) - 1, 1)
        for k in range(anchor_count):
            rest = sum(mine[j, k] for j in range(len(votes)) if j != i)
            e[i] += mine[i, k] * np.log((theirs[:, k].sum() + 1) / (rho * rest + 1))
        g[i] = min(1.0, label_count / images * (mine_on_labels[i] @ theirs_on_labels.sum(axis=0)))
    return e, g, g**2 * np.clip(e, -1, 0)


def crowding(votes: Votes, label_count: int) -> np.ndarray:
    """crowd times the gate, before λ."""
    assert votes.on_labels
    z, label, images = standard(votes.log_odds), votes.on_labels.labels[:, 0], len(votes)
    found = np.zeros(images)
    for i in range(images):
        others = [j for j in range(images) if j != i and label[j] == label[i]]
        crowd = max(0.0, np.log(len(others) * label_count / max(images - 1, 1) + 0.5))
        mean = z[others].sum() / (len(others) + 3)
        found[i] = crowd * np.clip((0.5 - mean) / 0.5, 0, 1)
    return found


def verdicts(votes: Votes, asked: Votes, belongs: np.ndarray, anchors: np.ndarray, reach: float | None) -> np.ndarray:
    """d of images. `asked`: the votes of those that something was said of; `belongs`: what."""
    anchors, weights = anchors.astype(np.float64), on_all(votes.anchors, votes.weights, len(anchors))
    said_on = on_all(asked.anchors, asked.weights, len(anchors))
    total, weight = np.zeros(len(anchors)), np.zeros(len(anchors))
    for row, b in zip(said_on, belongs, strict=True):
        for place, anchor in enumerate(anchors):
            s = sum(row[k] * np.exp(20 * (anchors[k] @ anchor - 1)) for k in np.flatnonzero(row))
            weight[place] += s
            total[place] += s * (2 * b - 1)
    d = weights @ (total / (weight + 0.3))
    if reach is None:
        return d
    return np.where(d > 0, d * within_reach(weights, votes.cosines.astype(np.float64), reach), d)


def worth(votes: Votes, y: np.ndarray, anchor_count: int) -> tuple[np.ndarray, np.ndarray]:
    """S and the worth of each anchor. `y`: the images' scores by consensus."""
    weights, z = on_all(votes.anchors, votes.weights, anchor_count), standard(y)
    total = weights.sum(axis=0)
    means = {k: (weights[:, k] @ z) / total[k] for k in range(anchor_count) if total[k] > 0}
    border, found = np.quantile(list(means.values()), 0.25) if means else 0.0, np.zeros(anchor_count)
    for k, mean in means.items():
        p = 1 / (1 + np.exp(-(mean - border) / 0.35))
        found[k] = total[k] * p * (1 - p)
    return total, found


def asked_about(votes: Votes, order: list[int], asked: set[int], count: int) -> list[tuple[int, int]]:
    """Anchors and images. `order`: of the anchors; `asked`: images that somebody was asked about before."""
    taken, found, before = set(asked), [], -1
    while before < len(found):
        before = len(found)
        for k in order:
            voters = [i for i in range(len(votes)) if k in votes.anchors[i] and i not in taken]
            if voters:
                weight = [votes.weights[i][votes.anchors[i] == k][0] for i in voters]
                found.append((k, voters[int(np.argmax(weight))]))
                taken.add(found[-1][1])
    return found[:count]


def standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / (values.std() or 1.0)


def with_labels(votes: Votes, label_count: int, seed: int) -> Votes:
    """The votes, with some on labels at random, of which the first are more common."""
    rng, nearest = np.random.default_rng([seed, 1]), min(5, label_count)
    order = rng.random((len(votes), label_count)) * np.arange(1, label_count + 1)
    weights = rng.dirichlet(np.ones(nearest), len(votes)).astype(np.float32)
    labels = np.argsort(order, axis=1)[:, :nearest].astype(np.int32)
    return replace(votes, on_labels=LabelVotes(labels, -np.sort(-weights, axis=1)))


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
    on_labels = votes.on_labels and LabelVotes(votes.on_labels.labels[places], votes.on_labels.weights[places])
    return Votes(votes.log_odds[places], votes.anchors[places], votes.weights[places], votes.cosines[places], on_labels)


def with_log_odds(votes: Votes, log_odds: np.ndarray) -> Votes:
    return replace(votes, log_odds=log_odds)


def same_sums(one: Agreement, other: Agreement) -> bool:
    """To the bit, in every step."""

    def content(sums: Sums) -> tuple:
        return dict(sums.totals), sums.largest, sums.anchors.tolist()

    return [content(sums) for sums in one.known] == [content(sums) for sums in other.known]


def columns(found: Smoothed) -> np.ndarray:
    return np.stack([found.score, found.weight, found.shift])
