"""Verdicts: what is said of a few images, spread over the whole scan (METHODS.md §10d). Free of torch."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64

from ood_core.consensus.exact import fixed, floating
from ood_core.consensus.votes import Votes

BITS = 36
"""Binary places of the sums of verdicts, which leaves room for `MOST_VERDICTS` of them."""
MOST_VERDICTS = 2**26
SHARPNESS, PRIOR, STRENGTH = 20.0, 0.3, 2.0
"""How fast a verdict fades from anchor to anchor; how much it takes to be believed; how many standard deviations of the
base the firmest one moves an image."""
VERDICTS_AT_ONCE, ANCHORS_AT_ONCE = 16, 4096
"""Products are of this one shape, so that a verdict's sums do not depend on the others."""


@dataclass(frozen=True)
class VerdictSums:
    """What verdicts say of each anchor; it adds up to the bit in any order.

    `count`: of verdicts; `weights`, `beliefs`: W and T in METHODS.md, in units of 2^-`BITS`.
    """

    count: int
    weights: Int64[np.ndarray, " anchors"]
    beliefs: Int64[np.ndarray, " anchors"]

    @classmethod
    def of(
        cls, votes: Votes, belongs: Float64[np.ndarray, " images"], anchors: Float32[np.ndarray, "anchors dim"]
    ) -> "VerdictSums":
        """The sums of verdicts on images. `belongs`: how probably each belongs, 0 to 1 (b)."""
        found = cls.nothing(len(anchors))
        for verdicts, places, spread in spread_over(votes, anchors):
            found.take(places, spread, belongs[verdicts])
        return replace(found, count=len(votes))

    @classmethod
    def nothing(cls, anchor_count: int) -> "VerdictSums":
        """The sums of no verdicts."""
        return cls(0, np.zeros(anchor_count, np.int64), np.zeros(anchor_count, np.int64))

    def take(self, places: slice, spread: Float[np.ndarray, "verdicts some"], belongs: np.ndarray) -> None:
        """Takes in a block of `spread_over`, in place; `count` stays as it is."""
        self.weights[places] += fixed(spread, BITS).sum(axis=0)
        self.beliefs[places] += fixed(spread * (2 * belongs[:, None] - 1), BITS).sum(axis=0)

    def __add__(self, other: "VerdictSums") -> "VerdictSums":
        count = self.count + other.count
        if count > MOST_VERDICTS:
            raise ValueError(f"{count} verdicts are more than the {MOST_VERDICTS} that there may be")
        return VerdictSums(count, self.weights + other.weights, self.beliefs + other.beliefs)

    @property
    def means(self) -> Float64[np.ndarray, " anchors"]:
        """What is believed of each anchor: 1 that its images belong, -1 that they do not, 0 where nothing is said."""
        return floating(self.beliefs, BITS) / (floating(self.weights, BITS) + PRIOR)

    def of_images(self, votes: Votes, reach: Float64[np.ndarray, " images"] | float) -> Float64[np.ndarray, " images"]:
        """What is believed of images, -1 to 1 (d). `reach`: how much of it counts where it raises an image, 0 to 1."""
        found = np.ascontiguousarray(votes.weights * self.means[votes.anchors]).sum(axis=1)
        return np.where(found > 0, found * reach, found)


def spread_over(
    votes: Votes, anchors: Float32[np.ndarray, "anchors dim"]
) -> Iterator[tuple[slice, slice, Float[np.ndarray, "verdicts some"]]]:
    """How much each verdict says of each anchor (s), for some verdicts and some anchors at a time.

    Yields which verdicts, which anchors, and their block.
    """
    dim, nearest = anchors.shape[1], votes.anchors.shape[1]
    for first in range(0, len(anchors), ANCHORS_AT_ONCE):
        some = anchors[first : first + ANCHORS_AT_ONCE]
        columns = np.zeros((ANCHORS_AT_ONCE, dim))
        columns[: len(some)] = some
        for start in range(0, len(votes), VERDICTS_AT_ONCE):
            places = votes.anchors[start : start + VERDICTS_AT_ONCE]
            rows = np.zeros((VERDICTS_AT_ONCE, nearest, dim))
            rows[: len(places)] = anchors[places]
            cosines = (rows.reshape(-1, dim) @ columns.T).reshape(VERDICTS_AT_ONCE, nearest, -1)
            near = np.exp(SHARPNESS * (cosines[: len(places), :, : len(some)] - 1))
            weights = votes.weights[start : start + VERDICTS_AT_ONCE].astype(np.float64)
            spread = np.ascontiguousarray(weights[:, :, None] * near).sum(axis=1)
            yield slice(start, start + len(places)), slice(first, first + len(some)), spread
