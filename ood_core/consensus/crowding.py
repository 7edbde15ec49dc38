"""Crowding: many images on one ID label, which the base likes less than average (METHODS.md §10c). Free of torch."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from ood_core.consensus.exact import fixed, floating, sums_by
from ood_core.consensus.votes import LabelVotes

PRIOR_IMAGES = 3
"""So many images of an average score are added to each label's, so that few say little."""
DISLIKED = 0.5
"""A label of this mean, in standard deviations, or a higher one is not held against its images."""


@dataclass(frozen=True)
class LabelSums:
    """The images that each ID label is the nearest of: how many (n in METHODS.md), and the sum of their standardised
    log-odds (Z), in units of 2^-`bits`."""

    counts: Int64[np.ndarray, " labels"]
    sums: Int64[np.ndarray, " labels"]
    bits: int

    def crowd(self, images: int) -> Float64[np.ndarray, " labels"]:
        """How crowded each label is for one of its images: the log of its share over an even one, at least 0."""
        others = np.maximum(self.counts - 1, 0) * len(self.counts) / max(images - 1, 1)
        return np.maximum(0.0, np.log(others + 0.5))

    def crowding(
        self, votes: LabelVotes, standard: Float64[np.ndarray, " images"], images: int, among: bool = True
    ) -> Float64[np.ndarray, " images"]:
        """What crowding takes from each image per unit of its strength λ, at least 0; each itself left out.

        `standard`: the images' standardised log-odds; `images`: of the whole scan; `among`: whether these are some.
        """
        label = votes.nearest
        others = floating(self.sums[label] - (fixed(standard, self.bits) if among else 0), self.bits)
        mean = others / (self.counts[label] - int(among) + PRIOR_IMAGES)
        return self.crowd(images)[label] * np.clip((DISLIKED - mean) / DISLIKED, 0.0, 1.0)


def sums_on_labels(
    votes: LabelVotes, standard: Float64[np.ndarray, " images"], bits: int, label_count: int
) -> Int64[np.ndarray, "two labels"]:
    """What some images add to the counts and the sums of `LabelSums`."""
    counts = np.bincount(votes.nearest, minlength=label_count).astype(np.int64)
    return np.stack([counts, sums_by(votes.nearest, fixed(standard, bits), label_count)])
