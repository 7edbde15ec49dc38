"""The steps of consensus: moves each image's score towards its neighbours', as far as they earned trust (§10).

Nothing but sums over all images goes from one step to the next, and they are exact: they merge in any order.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from operator import add

import numpy as np
from jaxtyping import Float64, Int64

from ood_core.consensus.base import NO_TERMS, Base, Terms
from ood_core.consensus.exact import bits_for, fraction
from ood_core.consensus.smoothing import Neighbours, anchor_sums
from ood_core.consensus.sums import Sums, totals_of
from ood_core.consensus.votes import Votes
from ood_core.methods import Consensus

LEAST_DISAGREEMENT, MOST_TRUST = 1e-3, 0.97
STEPS_BEFORE_ROUNDS = 2
"""Of consensus itself, once its base is known."""


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

    The steps: those of the base (`Base`); on each anchor the sums of its standardised values u and of the cosines; of
    their squared differences from their smoothing, and how u agrees with its own; then for each round but the last the
    sums of the score so far. `terms`: what the base has added.
    """

    parameters: Consensus
    anchor_count: int
    known: tuple[Sums, ...] = ()
    terms: Terms = NO_TERMS
    base: Base = field(init=False)

    def __post_init__(self) -> None:
        known = self.known[: len(self.terms.steps)]
        object.__setattr__(self, "base", Base(self.anchor_count, self.terms, known))

    @property
    def steps(self) -> int:
        return len(self.terms.steps) + STEPS_BEFORE_ROUNDS + self.parameters.rounds - 1

    @property
    def finished(self) -> bool:
        return len(self.known) == self.steps

    def after(self, sums: Sums) -> "Agreement":
        """The state after the next step, whose sums over all images are given."""
        return replace(self, known=(*self.known, sums))

    def sums(self, votes: Votes) -> Sums:
        """The sums over some images that the next step needs."""
        if not self.base.finished:
            return self.base.sums(votes)
        before_rounds = self._sums_of_values, self._sums_of_spreads
        step = len(self._own)
        return before_rounds[step](votes) if step < STEPS_BEFORE_ROUNDS else self._sums_of_round(votes)

    def _sums_of_values(self, votes: Votes) -> Sums:
        """Each anchor's standardised log-odds and cosines."""
        values = (self.base.standard(votes), self.value_bits), (votes.cosines.astype(np.float64), self._cosine_bits)
        return Sums({}, 0.0, self._anchors(votes, *values))

    def _sums_of_spreads(self, votes: Votes) -> Sums:
        """What the correlation of images with their neighbours is made of, and how far each anchor's images differ."""
        u, m, near, usual = self._first_means(self.base.neighbours(votes))
        totals = totals_of(u=u, m=m, uu=u * u, mm=m * m, um=u * m)
        squares = ((u - m) ** 2, self._square_bits), ((near - usual) ** 2, self._cosine_bits)
        return Sums(totals, 0.0, self._anchors(votes, *squares))

    def _sums_of_round(self, votes: Votes) -> Sums:
        """Each anchor's scores after the rounds that are known."""
        return Sums({}, 0.0, self._anchors(votes, (self.scores(votes).score, self.value_bits)))

    def sums_of_scores(self, votes: Votes) -> Sums:
        """The sums over some images of the finished scores, of their squares, and of each anchor's."""
        score = self.scores(votes).score
        return Sums(totals_of(score=score, squares=score**2), 0.0, self._anchors(votes, (score, self.value_bits)))

    def scores(self, votes: Votes) -> Smoothed:
        """Smoothed scores of some images, after as many rounds as are known; after all once the steps are finished."""
        neighbours = self.base.neighbours(votes)
        u, m, _, usual = self._first_means(neighbours)
        trust = self._trust(neighbours, u, m, usual)
        score = (1 - trust) * u + trust * m
        for sums in self._own[STEPS_BEFORE_ROUNDS:]:
            score = (1 - trust) * u + trust * neighbours.mean(score, sums.anchors[0], self.value_bits)
        return Smoothed(score, trust, score - u)

    @property
    def _own(self) -> tuple[Sums, ...]:
        """The sums of the steps behind those of the base."""
        return self.known[len(self.terms.steps) :]

    @property
    def images(self) -> int:
        return self.base.images

    @property
    def mean(self) -> float:
        """Mean of the log-odds over all images."""
        return self.base.mean

    @property
    def deviation(self) -> float:
        """Standard deviation of the log-odds over all images."""
        return self.base.deviation

    @property
    def votes(self) -> Float64[np.ndarray, " anchors"]:
        """The weight of all images on each anchor."""
        return self.base.votes

    @cached_property
    def agreement(self) -> float:
        """The correlation of images' u with their neighbours' (c in METHODS.md), at least 0."""
        mean = {name: fraction(total) / max(self.images, 1) for name, total in self._own[1].totals.items()}
        spread = (mean["uu"] - mean["u"] ** 2) * (mean["mm"] - mean["m"] ** 2)
        together = mean["um"] - mean["u"] * mean["m"]
        return max(0.0, min(1.0, float(together) / float(spread) ** 0.5)) if spread > 1e-24 else 0.0

    def _trust(self, neighbours: Neighbours, u: np.ndarray, m: np.ndarray, usual: np.ndarray) -> np.ndarray:
        """How much each image's neighbours count, 0 to 0.97 (A in METHODS.md)."""
        disagreements, spreads = self._own[1].anchors
        disagreement = neighbours.mean((u - m) ** 2, disagreements, self._square_bits)
        earned = np.clip(1 - np.maximum(disagreement, LEAST_DISAGREEMENT), 0, 1) ** self.parameters.caution
        trust = np.minimum(MOST_TRUST, self.agreement * earned)
        reach = neighbours.within_reach(usual, spreads, self._cosine_bits, self.parameters.reach)
        return np.where(m > u, trust * reach, trust)

    def _first_means(self, neighbours: Neighbours) -> tuple[np.ndarray, ...]:
        """Standardised log-odds and their means over neighbours, then cosines and their means over neighbours."""
        u, near = self.base.standard(neighbours.votes), neighbours.votes.cosines.astype(np.float64)
        sums, cosines = self._own[0].anchors
        return u, neighbours.mean(u, sums, self.value_bits), near, neighbours.mean(near, cosines, self._cosine_bits)

    def _anchors(self, votes: Votes, *values: tuple[np.ndarray, int]) -> Int64[np.ndarray, "values anchors"]:
        return np.stack([anchor_sums(votes, value, bits, self.anchor_count) for value, bits in values])

    @cached_property
    def _most_votes(self) -> float:
        return float(self.votes.max(initial=0.0))

    @cached_property
    def value_bits(self) -> int:
        """Means of values are within their range, but for rounding, for which there is room."""
        return bits_for(2 * self._most_votes * self.base.furthest)

    @cached_property
    def _square_bits(self) -> int:
        return bits_for(8 * self._most_votes * self.base.furthest**2)

    @cached_property
    def _cosine_bits(self) -> int:
        return bits_for(8 * self._most_votes)


def agreed(parameters: Consensus, anchor_count: int, parts: Iterable[Votes], terms: Terms = NO_TERMS) -> Agreement:
    """Runs all steps of consensus in one process. `parts`: the votes of all images, at least one part."""
    parts, found = list(parts), Agreement(parameters, anchor_count, terms=terms)
    while not found.finished:
        found = found.after(reduce(add, map(found.sums, parts)))
    return found
