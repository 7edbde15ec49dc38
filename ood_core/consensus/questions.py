"""Questions: which few images to look at, so that what is said of them says most of the scan (METHODS.md §10d).

Free of torch.
"""

from collections.abc import Set
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float64, Int64

from ood_core.consensus.agreement import Agreement
from ood_core.consensus.exact import floating, fraction
from ood_core.consensus.sums import Sums
from ood_core.consensus.votes import Votes

QUARTER, WIDTH, FURTHEST = 0.25, 0.35, 100.0
"""Anchors below this quantile of their means hold what does not belong, as a first guess; how soft that border is, and
beyond how many such widths below it nothing changes any more."""


@dataclass(frozen=True)
class Worth:
    """What an answer would be worth at each anchor.

    `votes`: the weight of all images on it (S); `mean`: of their standardised scores (m), NaN where there are none;
    `belongs`: how probably they belong, as a guess (p); `worth`: the more images and the less certain, the more.
    """

    votes: Float64[np.ndarray, " anchors"]
    mean: Float64[np.ndarray, " anchors"]
    belongs: Float64[np.ndarray, " anchors"]
    worth: Float64[np.ndarray, " anchors"]

    @classmethod
    def of(cls, agreement: Agreement, sums: Sums) -> "Worth":
        """`agreement`: finished; `sums`: its `sums_of_scores` over all images."""
        votes, count = agreement.votes, max(agreement.images, 1)
        mean = fraction(sums.totals["score"]) / count
        variance = fraction(sums.totals["squares"]) / count - mean**2
        deviation = float(max(variance, Fraction(0))) ** 0.5 or 1.0
        there = votes > 0
        on_anchors = floating(sums.anchors[0], agreement.value_bits)
        means = np.full(len(votes), np.nan)
        means[there] = (on_anchors[there] / votes[there] - float(mean)) / deviation
        border = np.quantile(means[there], QUARTER) if there.any() else 0.0
        below = np.minimum((border - np.nan_to_num(means)) / WIDTH, FURTHEST)
        belongs = np.where(there, 1 / (1 + np.exp(below)), 0.5)
        return cls(votes, means, belongs, votes * belongs * (1 - belongs))

    def order(self, asked: Set[int] = frozenset()) -> Int64[np.ndarray, " anchors"]:
        """The anchors with images, those worth most first; behind all others those in whose midst somebody was asked.

        `asked`: the nearest anchors of images that were asked about.
        """
        last = np.isin(np.arange(len(self.worth)), list(asked))
        order = np.lexsort((np.arange(len(self.worth)), -self.worth, last))
        return order[self.votes[order] > 0]


@dataclass(frozen=True)
class Candidates:
    """Images that could stand for anchors: of each anchor those with the largest weight on it.

    `anchors`, `weights`; `places`: where the image lies in the scan, as two numbers that sort as the scan does.
    """

    anchors: Int64[np.ndarray, " votes"]
    weights: Float64[np.ndarray, " votes"]
    places: Int64[np.ndarray, "votes two"]

    @classmethod
    def of(
        cls, votes: Votes, places: Int64[np.ndarray, "images two"], among: Int64[np.ndarray, " some"], most: int
    ) -> "Candidates":
        """Of some images, `most` for each of the anchors `among` which it is chosen."""
        rows, columns = np.nonzero(np.isin(votes.anchors, among))
        found = cls(
            votes.anchors[rows, columns].astype(np.int64),
            votes.weights[rows, columns].astype(np.float64),
            places[rows],
        )
        return found.first(most)

    def first(self, most: int) -> "Candidates":
        """The first `most` of each anchor: those of the largest weight, of equal ones the first in the scan."""
        order = np.lexsort((self.places[:, 1], self.places[:, 0], -self.weights, self.anchors))
        anchors = self.anchors[order]
        starts = np.searchsorted(anchors, anchors)
        kept = order[np.arange(len(order)) - starts < most]
        return Candidates(self.anchors[kept], self.weights[kept], self.places[kept])

    def __add__(self, other: "Candidates") -> "Candidates":
        return Candidates(
            np.concatenate([self.anchors, other.anchors]),
            np.concatenate([self.weights, other.weights]),
            np.concatenate([self.places, other.places]),
        )


def chosen(
    candidates: Candidates, order: Int64[np.ndarray, " anchors"], asked: Set[tuple[int, int]], count: int
) -> list[tuple[int, tuple[int, int]]]:
    """The anchors and places of the images to ask about, `count` at most; no image twice, nor one that was `asked`.

    Goes over the anchors in `order`, one image of each; again once all have been gone over.
    """
    queues: dict[int, list[tuple[int, int]]] = {}
    first = candidates.first(len(candidates.anchors))
    for anchor, place in zip(first.anchors.tolist(), first.places.tolist(), strict=True):
        queues.setdefault(anchor, []).append((place[0], place[1]))
    taken, found = set(asked), list[tuple[int, tuple[int, int]]]()
    while len(found) < count:
        before = len(found)
        for anchor in order.tolist():
            place = next((place for place in queues.get(anchor, ()) if place not in taken), None)
            if place is not None and len(found) < count:
                taken.add(place)
                found.append((anchor, place))
        if len(found) == before:
            break
    return found
