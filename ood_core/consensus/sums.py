"""Sums over images that add up to the bit in any order."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from ood_core.consensus.exact import exact_sum


@dataclass(frozen=True)
class Sums:
    """Sums over images that one step of consensus needs; they add up to the bit in any order.

    `totals`: exact sums; `largest`: the largest absolute value; `anchors`: sums of values on each anchor, or, in the
    steps that go by labels, on each ID label.
    """

    totals: Mapping[str, int]
    largest: float
    anchors: Int64[np.ndarray, "values anchors"]

    def __add__(self, other: "Sums") -> "Sums":
        totals = {name: total + other.totals[name] for name, total in self.totals.items()}
        return Sums(totals, max(self.largest, other.largest), self.anchors + other.anchors)


def totals_of(**values: np.ndarray) -> dict[str, int]:
    """The exact sum of each of these values over images."""
    return {name: exact_sum(value) for name, value in values.items()}
