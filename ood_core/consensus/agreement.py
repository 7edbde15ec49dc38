"""The steps of consensus: moves each image's score towards its neighbours', as far as they earned trust (§10).

Nothing but sums over all images goes from one step to the next, and they are exact: they merge in any order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add

import numpy as np
from jaxtyping import Float64, Int64

from ood_core.consensus.exact import bits_for, exact_sum, floating, fraction
from ood_core.consensus.smoothing import Neighbours, anchor_sums
from ood_core.consensus.votes import Votes
from ood_core.methods import Consensus

LEAST_DISAGREEMENT, MOST_TRUST, LEAST_SPREAD = 1e-3, 0.97, 1e-6
STEPS_BEFORE_ROUNDS = 4


@dataclass(frozen=True)
class Sums:
    """Sums over images that one step of consensus needs; they add up to the bit in any order.

    `totals`: exact sums; `largest`: the largest distance from the mean; `anchors`: sums of values on each anchor.
    """

    totals: Mapping[str, int]
    largest: float
    anchors: Int64[np.ndarray, "values anchors"]

    def __add__(self, other: "Sums") -> "Sums":
        totals = {name: total + other.totals[name] for name, total in self.totals.items()}
        return Sums(totals, max(self.largest, other.largest), self.anchors + other.anchors)


@dataclass(frozen=True)
class Smoothed:
    """Smoothed scores of images, and what moved them.

    Per image the score, higher = more in-distribution, in standard deviations of the base method's log-odds; how much
    its neighbours counted (`weight`: A in METHODS.md, 0 to 0.97); and by how much they moved the score (`shift`).
    """

    score: Float64[np.ndarray, " images"]
    weight: Float64[np.ndarray, " images"]
    shift: Float64[np.ndarray, " images"]


@dataclass(frozen=True)
class Agreement:
    """The state of consensus after some of its steps. `known`: the sums over all images of each step that is done.

    The steps: the mean of the log-odds; their spread, and the votes on each anchor; on each anchor the sums of the
    standardised log-odds u and of the cosines; of their squared differences from their smoothing, and how u agrees with
    its own; then for each round but the last the sums of the score so far.
    """

    parameters: Consensus
    anchor_count: int
    known: tuple[Sums, ...] = ()

    @property
    def steps(self) -> int:
        return STEPS_BEFORE_ROUNDS + self.parameters.rounds - 1

    @property
    def finished(self) -> bool:
        return len(self.known) == self.steps

    def after(self, sums: Sums) -> "Agreement":
        """The state after the next step, whose sums over all images are given."""
        return replace(self, known=(*self.known, sums))

    def sums(self, votes: Votes) -> Sums:
        """The sums over some images that the next step needs."""
        before_rounds = self._sums_of_log_odds, self._sums_of_deviations, self._sums_of_values, self._sums_of_spreads
        step = len(self.known)
        return before_rounds[step](votes) if step < STEPS_BEFORE_ROUNDS else self._sums_of_round(votes)

    def _sums_of_log_odds(self, votes: Votes) -> Sums:
        """How many images there are, and the sum of their log-odds."""
        totals = _totals(count=np.ones(len(votes)), log_odds=votes.log_odds)
        return Sums(totals, 0.0, np.zeros((0, self.anchor_count), np.int64))

    def _sums_of_deviations(self, votes: Votes) -> Sums:
        """The squared deviations from the mean and the largest deviation; how many votes each anchor has."""
        centred = votes.log_odds - self.mean
        largest = float(np.abs(centred).max(initial=0.0))
        return Sums(_totals(squares=centred**2), largest, self._anchors(votes, (np.ones(len(votes)), self._vote_bits)))

    def _sums_of_values(self, votes: Votes) -> Sums:
        """Each anchor's standardised log-odds and cosines."""
        values = (self._standard(votes), self._value_bits), (votes.cosines.astype(np.float64), self._cosine_bits)
        return Sums({}, 0.0, self._anchors(votes, *values))

    def _sums_of_spreads(self, votes: Votes) -> Sums:
        """What the correlation of images with their neighbours is made of, and how far each anchor's images differ."""
        u, m, near, usual = self._first_means(self._neighbours(votes))
        totals = _totals(u=u, m=m, uu=u * u, mm=m * m, um=u * m)
        squares = ((u - m) ** 2, self._square_bits), ((near - usual) ** 2, self._cosine_bits)
        return Sums(totals, 0.0, self._anchors(votes, *squares))

    def _sums_of_round(self, votes: Votes) -> Sums:
        """Each anchor's scores after the rounds that are known."""
        return Sums({}, 0.0, self._anchors(votes, (self.scores(votes).score, self._value_bits)))

    def scores(self, votes: Votes) -> Smoothed:
        """Smoothed scores of some images, after as many rounds as are known; after all once the steps are finished."""
        neighbours = self._neighbours(votes)
        u, m, near, usual = self._first_means(neighbours)
        trust = self._trust(neighbours, u, m, near, usual)
        score = (1 - trust) * u + trust * m
        for sums in self.known[STEPS_BEFORE_ROUNDS:]:
            score = (1 - trust) * u + trust * neighbours.mean(score, sums.anchors[0], self._value_bits)
        return Smoothed(score, trust, score - u)

    @cached_property
    def images(self) -> int:
        return int(fraction(self.known[0].totals["count"]))

    @cached_property
    def mean(self) -> float:
        """Mean of the log-odds over all images."""
        return float(self._means(0)["log_odds"])

    @cached_property
    def deviation(self) -> float:
        """Standard deviation of the log-odds over all images."""
        return float(self._means(1)["squares"]) ** 0.5

    @cached_property
    def agreement(self) -> float:
        """The correlation of images' log-odds with their neighbours' (c in METHODS.md), at least 0."""
        mean = self._means(3)
        spread = (mean["uu"] - mean["u"] ** 2) * (mean["mm"] - mean["m"] ** 2)
        together = mean["um"] - mean["u"] * mean["m"]
        return max(0.0, min(1.0, float(together) / float(spread) ** 0.5)) if spread > 1e-24 else 0.0

    @property
    def votes(self) -> Float64[np.ndarray, " anchors"]:
        """The weight of all images on each anchor."""
        return floating(self.known[1].anchors[0], self._vote_bits)

    def _means(self, step: int) -> dict:
        return {name: fraction(total) / max(self.images, 1) for name, total in self.known[step].totals.items()}

    def _trust(
        self, neighbours: Neighbours, u: np.ndarray, m: np.ndarray, near: np.ndarray, usual: np.ndarray
    ) -> np.ndarray:
        """How much each image's neighbours count, 0 to 0.97 (A in METHODS.md)."""
        disagreements, spreads = self.known[3].anchors
        disagreement = neighbours.mean((u - m) ** 2, disagreements, self._square_bits)
        earned = np.clip(1 - np.maximum(disagreement, LEAST_DISAGREEMENT), 0, 1) ** self.parameters.caution
        trust = np.minimum(MOST_TRUST, self.agreement * earned)
        if self.parameters.reach is None:
            return trust
        spread = neighbours.mean((near - usual) ** 2, spreads, self._cosine_bits)
        far = np.maximum(usual - near, 0) / np.sqrt(np.maximum(spread, LEAST_SPREAD))
        return np.where(m > u, trust * np.clip(1 - far / self.parameters.reach, 0, 1), trust)

    def _first_means(self, neighbours: Neighbours) -> tuple[np.ndarray, ...]:
        """Standardised log-odds and their means over neighbours, then cosines and their means over neighbours."""
        u, near = self._standard(neighbours.votes), neighbours.votes.cosines.astype(np.float64)
        sums, cosines = self.known[2].anchors
        return u, neighbours.mean(u, sums, self._value_bits), near, neighbours.mean(near, cosines, self._cosine_bits)

    def _standard(self, votes: Votes) -> Float64[np.ndarray, " images"]:
        return (votes.log_odds - self.mean) / (self.deviation or 1.0)

    def _neighbours(self, votes: Votes) -> Neighbours:
        return Neighbours(votes, self.known[1].anchors[0], self._vote_bits)

    def _anchors(self, votes: Votes, *values: tuple[np.ndarray, int]) -> Int64[np.ndarray, "values anchors"]:
        return np.stack([anchor_sums(votes, value, bits, self.anchor_count) for value, bits in values])

    @cached_property
    def _vote_bits(self) -> int:
        return bits_for(float(max(self.images, 1)))

    @cached_property
    def _most_votes(self) -> float:
        return float(self.votes.max(initial=0.0))

    @property
    def _furthest(self) -> float:
        """The largest |u|. Means of values are within their range, but for rounding, for which there is room."""
        return self.known[1].largest / (self.deviation or 1.0)

    @cached_property
    def _value_bits(self) -> int:
        return bits_for(2 * self._most_votes * self._furthest)

    @cached_property
    def _square_bits(self) -> int:
        return bits_for(8 * self._most_votes * self._furthest**2)

    @cached_property
    def _cosine_bits(self) -> int:
        return bits_for(8 * self._most_votes)


def _totals(**values: np.ndarray) -> dict[str, int]:
    return {name: exact_sum(value) for name, value in values.items()}


def agreed(parameters: Consensus, anchor_count: int, parts: Iterable[Votes]) -> Agreement:
    """Runs all steps of consensus in one process. `parts`: the votes of all images, at least one part."""
    parts, found = list(parts), Agreement(parameters, anchor_count)
    while not found.finished:
        found = found.after(reduce(add, map(found.sums, parts)))
    return found
