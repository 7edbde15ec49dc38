"""Leave-one-out means over anchors: what an image's neighbours in the scan say (METHODS.md §10)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64

from ood_core.consensus.exact import fixed, floating, sums_by
from ood_core.consensus.votes import Votes

LEAST_VOTE, LEAST_SPREAD = 1e-3, 1e-6
"""An anchor on which others vote with no more weight than this says nothing; images spread no less than that."""


@dataclass(frozen=True)
class Neighbours:
    """Means over an image's neighbours. `totals`: the weight of all images on each anchor, in units of 2^-`bits`."""

    votes: Votes
    totals: Int64[np.ndarray, " anchors"]
    bits: int

    def mean(
        self, values: Float64[np.ndarray, " images"], sums: Int64[np.ndarray, " anchors"], bits: int
    ) -> Float64[np.ndarray, " images"]:
        """Mean of the other images' values over each image's anchors (T).

        `sums`: those of `weighted` over all images.
        """
        others, alone = self._others_or_one
        theirs = floating(sums[self.votes.anchors] - self._own(values, bits), bits)
        means = np.where(alone, values[:, None], theirs / others)
        return np.ascontiguousarray(self.votes.weights * means).sum(axis=1)  # whose order goes by the layout

    def within_reach(
        self,
        usual: Float64[np.ndarray, " images"],
        spreads: Int64[np.ndarray, " anchors"],
        bits: int,
        reach: float | None,
    ) -> Float64[np.ndarray, " images"]:
        """How much of what raises an image counts: from 1 down to 0 where it lies `reach` standard deviations farther
        from its anchor than its neighbours; None: always 1.

        `usual`: the neighbours' mean cosine; `spreads`: the anchors' sums of squared differences from it.
        """
        if reach is None:
            return np.ones(len(self.votes))
        near = self.votes.cosines.astype(np.float64)
        spread = self.mean((near - usual) ** 2, spreads, bits)
        far = np.maximum(usual - near, 0) / np.sqrt(np.maximum(spread, LEAST_SPREAD))
        return np.clip(1 - far / reach, 0, 1)

    @cached_property
    def others(self) -> Float64[np.ndarray, "images nearest"]:
        """The other images' weight on each image's anchors."""
        own = self._own(np.ones(len(self.votes)), self.bits)
        return floating(self.totals[self.votes.anchors] - own, self.bits)

    def _own(self, values: Float64[np.ndarray, " images"], bits: int) -> Int64[np.ndarray, "images nearest"] | int:
        """What of the sums on an image's anchors is its own."""
        return weighted(self.votes, values, bits) if self.votes.among else 0

    @cached_property
    def _others_or_one(self) -> tuple[np.ndarray, np.ndarray]:
        """The others' weight on each image's anchors, and where there is none; it is 1 there, to divide by."""
        alone = self.others <= LEAST_VOTE
        return np.where(alone, 1.0, self.others), alone


def weighted(votes: Votes, values: Float64[np.ndarray, " images"], bits: int) -> Int64[np.ndarray, "images nearest"]:
    """What each image adds to the sums of its anchors, as whole numbers of 2^-bits."""
    return fixed(votes.weights * values[:, None], bits)


def anchor_sums(
    votes: Votes, values: Float64[np.ndarray, " images"], bits: int, count: int
) -> Int64[np.ndarray, " anchors"]:
    """The sums on each of `count` anchors, in units of 2^-bits."""
    return sums_by(votes.anchors, weighted(votes, values, bits), count)
