"""The reference: what images that are known to belong say of a scan's images (METHODS.md §10b). Free of torch."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from ood_core.consensus.exact import fixed, floating, sums_by
from ood_core.consensus.smoothing import Neighbours
from ood_core.consensus.votes import LabelVotes, Votes

BITS = 36
"""Binary places of the sums of a reference's votes, which leaves room for `MOST_IMAGES` of them."""
MOST_IMAGES = 2**26
LOWEST = -1.0
"""The most, in standard deviations of the base, that a reference takes from an image."""
COVERED, UNLIKE = 0.5, -1.0
"""An image is covered by a reference from this coverage on, and unlike it below this evidence."""


@dataclass(frozen=True)
class ReferenceSums:
    """What the images of a reference have voted for; it adds up to the bit in any order.

    `images`: M in METHODS.md; `anchors`, `labels`: R and L, in units of 2^-`BITS`; `nearest`: how many of the images
    each ID label is the nearest of.
    """

    images: int
    anchors: Int64[np.ndarray, " anchors"]
    labels: Int64[np.ndarray, " labels"]
    nearest: Int64[np.ndarray, " labels"]

    @classmethod
    def of(cls, votes: Votes, anchor_count: int, label_count: int) -> "ReferenceSums":
        """The sums of some images of the reference, whose log-odds do not matter."""
        return cls(
            len(votes),
            sums_by(votes.anchors, fixed(votes.weights.astype(np.float64), BITS), anchor_count),
            sums_by(votes.label_votes.labels, fixed(votes.label_votes.weights.astype(np.float64), BITS), label_count),
            counts_by_label(votes.label_votes, np.ones(len(votes), bool), label_count),
        )

    def __add__(self, other: "ReferenceSums") -> "ReferenceSums":
        images = self.images + other.images
        if images > MOST_IMAGES:
            raise ValueError(f"{images} images are more than the {MOST_IMAGES} that a reference may have")
        return ReferenceSums(
            images, self.anchors + other.anchors, self.labels + other.labels, self.nearest + other.nearest
        )


@dataclass(frozen=True)
class ReferenceTerm:
    """What a reference says of images, each itself left out.

    `evidence`: e in METHODS.md, below 0 where the scan has more images of this kind than the reference; `coverage`: g,
    0 to 1, whether the reference knows the image's labels at all; `term`: d, -1 to 0, in standard deviations of the
    base.
    """

    evidence: Float64[np.ndarray, " images"]
    coverage: Float64[np.ndarray, " images"]
    term: Float64[np.ndarray, " images"]


def reference_term(sums: ReferenceSums, neighbours: Neighbours, images: int) -> ReferenceTerm:
    """What the reference says of the images whose votes `neighbours` has. `images`: of the whole scan."""
    votes = neighbours.votes
    evidence, coverage = np.zeros(len(votes)), np.zeros(len(votes))
    if sums.images:
        theirs = floating(sums.anchors[votes.anchors], BITS)
        expected = sums.images / max(images - 1, 1) * np.maximum(neighbours.others, 0)
        evidence = _dot(votes.weights, np.log((theirs + 1) / (expected + 1)))
        known, on_labels = floating(sums.labels, BITS), votes.label_votes
        share = len(sums.labels) / sums.images * _dot(on_labels.weights, known[on_labels.labels])
        coverage = np.minimum(1.0, share)
    return ReferenceTerm(evidence, coverage, coverage**2 * np.clip(evidence, LOWEST, 0.0))


def counts_by_label(votes: LabelVotes, chosen: np.ndarray, label_count: int) -> Int64[np.ndarray, " labels"]:
    """How many of the chosen images each ID label is the nearest of."""
    return np.bincount(votes.nearest[chosen], minlength=label_count).astype(np.int64)


def _dot(weights: np.ndarray, values: np.ndarray) -> Float64[np.ndarray, " images"]:
    return np.ascontiguousarray(weights * values).sum(axis=1)  # whose order goes by the layout
