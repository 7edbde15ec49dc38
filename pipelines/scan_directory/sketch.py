"""A quantile sketch: counts of values in buckets that grow with the value, so that sketches add up in any order.

DDSketch's buckets (Masson, Rim and Lee, VLDB 2019): every value of a bucket is within `RELATIVE_ERROR` of its middle.
Sums of counts are exact, so a sketch depends on the values alone, never on who counted them or when.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64, Num

RELATIVE_ERROR = 1e-4
LOG_GAMMA = math.log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))
ONE = 2**23
"""The bucket of the value 1. Positive values have positive buckets, negative ones the same below zero."""
PENDING = 2**20
"""Counts that are gathered before they are added up."""


def buckets_of(
    values: Num[np.ndarray, " values"],
) -> tuple[Int64[np.ndarray, " buckets"], Int64[np.ndarray, " buckets"]]:
    """The buckets that finite values fall into, ascending, and how many fall into each."""
    buckets, counts = np.unique(places_of(values), return_counts=True)
    return buckets, counts.astype(np.int64)


def places_of(values: Num[np.ndarray, " values"]) -> Int64[np.ndarray, " values"]:
    """The bucket of each of some finite values."""
    sizes = np.abs(values.astype(np.float64))
    logs = np.log(sizes, out=np.zeros_like(sizes), where=sizes > 0)
    places = np.where(sizes > 0, ONE + np.ceil(logs / LOG_GAMMA), 0)
    return (np.sign(values) * places).astype(np.int64)


def middles(buckets: Int64[np.ndarray, " buckets"]) -> Num[np.ndarray, " buckets"]:
    """The value that stands for each bucket."""
    return np.sign(buckets) * np.exp((np.abs(buckets) - ONE) * LOG_GAMMA + math.log1p(-RELATIVE_ERROR))


@dataclass
class Sketch:
    """Counts of values by bucket, which other sketches' counts are added to."""

    _parts: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    _pending: int = 0

    def add(self, buckets: Int64[np.ndarray, " buckets"], counts: Int64[np.ndarray, " buckets"]) -> None:
        """Adds counts of values; a bucket may occur several times."""
        self._parts.append((buckets, counts))
        self._pending += len(buckets)
        if self._pending > PENDING:
            self._add_up()
            self._pending = 0

    def counted(self) -> tuple[Int64[np.ndarray, " buckets"], Int64[np.ndarray, " buckets"]]:
        """The buckets, ascending, and the count of each."""
        self._add_up()
        return self._parts[0]

    def below_zero(self) -> int:
        """How many values are negative."""
        buckets, counts = self.counted()
        return int(counts[buckets < 0].sum())

    def quantiles(self, of: Sequence[float]) -> list[float]:
        """The values below which these shares of all values lie; none if there are no values."""
        buckets, counts = self.counted()
        if not len(buckets):
            return []
        ends = np.cumsum(counts)
        ranks = np.floor(np.array(of) * (ends[-1] - 1))
        return middles(buckets[np.searchsorted(ends, ranks, side="right")]).tolist()

    def _add_up(self) -> None:
        none = np.empty(0, np.int64)
        buckets = np.concatenate([none, *(buckets for buckets, _ in self._parts)])
        counts = np.concatenate([none, *(counts for _, counts in self._parts)])
        distinct, places = np.unique(buckets, return_inverse=True)
        sums = np.zeros(len(distinct), np.int64)
        np.add.at(sums, places, counts)
        self._parts = [(distinct, sums)]
