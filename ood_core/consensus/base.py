"""The base of consensus: a method's log-odds, standardised over the scan, with what else is known of the images added.

METHODS.md §10, §10b, §10c and §10d. Nothing but exact sums over all images goes from one step to the next.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64

from ood_core.consensus.crowding import LabelSums, sums_on_labels
from ood_core.consensus.exact import bits_for, floating, fraction
from ood_core.consensus.reference import COVERED, UNLIKE, ReferenceSums, ReferenceTerm, counts_by_label, reference_term
from ood_core.consensus.smoothing import Neighbours, anchor_sums
from ood_core.consensus.sums import Sums, totals_of
from ood_core.consensus.verdicts import STRENGTH, VerdictSums
from ood_core.consensus.votes import Votes

MOVED = 0.25
"""Images that verdicts raise or lower by more than this (d), half a standard deviation of the base, are counted."""


@dataclass(frozen=True)
class Terms:
    """What is added to the standardised log-odds.

    `reference`: what images that are known to belong have voted for; `crowding`: λ of METHODS.md §10c, 0 for nothing;
    `label_count`: how many ID labels there are, for either. `verdicts`: what was said of some images; `reach`: of
    consensus, beyond which they raise no image.
    """

    reference: ReferenceSums | None = None
    crowding: float = 0.0
    label_count: int = 0
    verdicts: VerdictSums | None = None
    reach: float | None = None

    def __bool__(self) -> bool:
        return self.reference is not None or self.crowding > 0 or self.verdicts is not None

    @property
    def limits_verdicts(self) -> bool:
        """Whether verdicts raise no image that is out of reach."""
        return self.verdicts is not None and self.reach is not None

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps of a `Base` with these terms."""
        given = {"spreads": self.limits_verdicts, "labels": self.crowding > 0, "terms": bool(self)}
        return ("log_odds", "deviations", *(name for name, asked in given.items() if asked))


NO_TERMS = Terms()


@dataclass(frozen=True)
class Base:
    """The state of a base after some of its steps. `known`: the sums over all images of each step that is done.

    The steps: the mean of the log-odds; their spread, and the votes on each anchor, with verdicts its cosines too; with
    verdicts, how far each anchor's cosines differ; with crowding, how many images are nearest to each label, and the
    sum of their standardised log-odds; with any term, the mean and the spread of the standardised log-odds with the
    terms, and how far the reference knows each label's images.
    """

    anchor_count: int
    terms: Terms = NO_TERMS
    known: tuple[Sums, ...] = ()

    @property
    def steps(self) -> int:
        return len(self.terms.steps)

    @property
    def finished(self) -> bool:
        return len(self.known) == self.steps

    def after(self, sums: Sums) -> "Base":
        """The state after the next step, whose sums over all images are given."""
        return replace(self, known=(*self.known, sums))

    def sums(self, votes: Votes) -> Sums:
        """The sums over some images that the next step needs."""
        steps: dict[str, Callable[[Votes], Sums]] = {
            "log_odds": self._sums_of_log_odds,
            "deviations": self._sums_of_deviations,
            "spreads": self._sums_of_spreads,
            "labels": self._sums_on_labels,
            "terms": self._sums_of_terms,
        }
        return steps[self.terms.steps[len(self.known)]](votes)

    def _sums_of_log_odds(self, votes: Votes) -> Sums:
        """How many images there are, and how many of them in the reference too; the sum of their log-odds."""
        totals = totals_of(count=np.ones(len(votes)), log_odds=votes.log_odds)
        if votes.in_reference is not None:
            totals |= totals_of(in_reference=votes.in_reference.astype(np.float64))
        return Sums(totals, 0.0, np.zeros((0, self.anchor_count), np.int64))

    def _sums_of_deviations(self, votes: Votes) -> Sums:
        """The squared deviations from the mean and the largest deviation; how many votes each anchor has."""
        centred = votes.log_odds - self.mean
        largest = float(np.abs(centred).max(initial=0.0))
        summed = [np.ones(len(votes))]
        if self.terms.limits_verdicts:
            summed.append(votes.cosines.astype(np.float64))
        on_anchors = [anchor_sums(votes, values, self.vote_bits, self.anchor_count) for values in summed]
        return Sums(totals_of(squares=centred**2), largest, np.stack(on_anchors))

    def _sums_of_spreads(self, votes: Votes) -> Sums:
        """The squared differences of cosines from those of the neighbours, on each anchor."""
        squares = (votes.cosines.astype(np.float64) - self._usual(self.neighbours(votes))) ** 2
        return Sums({}, 0.0, anchor_sums(votes, squares, self._spread_bits, self.anchor_count)[None])

    def _sums_on_labels(self, votes: Votes) -> Sums:
        """How many images each label is the nearest of, and the sum of their standardised log-odds."""
        z = self._standard(votes)
        return Sums({}, 0.0, sums_on_labels(votes.label_votes, z, self._label_bits, self.terms.label_count))

    def _sums_of_terms(self, votes: Votes) -> Sums:
        """The standardised log-odds with the terms, their squares and the largest; how many images verdicts raise and
        lower; of each label's images how many there are, how many the reference does not cover, and how many are unlike
        it."""
        values = self.values(votes)
        totals = totals_of(values=values, squares=values**2)
        if self.terms.verdicts:
            said = self.verdict(votes)
            totals |= totals_of(raised=(said > MOVED).astype(float), lowered=(said < -MOVED).astype(float))
        largest = float(np.abs(values).max(initial=0.0))
        counts = np.zeros((0, self.terms.label_count), np.int64)
        if self.terms.reference:
            said = self.reference_term(votes)
            chosen = np.full(len(votes), True), said.coverage < COVERED, said.evidence < UNLIKE
            each = [counts_by_label(votes.label_votes, some, self.terms.label_count) for some in chosen]
            counts = np.stack(each)
        return Sums(totals, largest, counts)

    def values(self, votes: Votes) -> Float64[np.ndarray, " images"]:
        """The standardised log-odds of some images with the terms added: z' in METHODS.md."""
        z = self._standard(votes)
        added = np.zeros(len(votes))
        if self.terms.reference:
            added = added + self.reference_term(votes).term
        if self.terms.verdicts:
            added = added + STRENGTH * self.verdict(votes)
        if self.terms.crowding:
            added = added - self.terms.crowding * self.label_sums.crowding(
                votes.label_votes, z, self.images, votes.among
            )
        return z + added

    def standard(self, votes: Votes) -> Float64[np.ndarray, " images"]:
        """The same, standardised once more: u in METHODS.md, which consensus smooths."""
        if not self.terms:
            return self._standard(votes)
        mean, deviation = self._of_terms
        return (self.values(votes) - mean) / (deviation or 1.0)

    def reference_term(self, votes: Votes) -> ReferenceTerm:
        """What the reference says of some images. Raises ValueError if there is no reference."""
        if self.terms.reference is None:
            raise ValueError("there is no reference")
        return reference_term(self.terms.reference, self.neighbours(votes), self.images)

    def verdict(self, votes: Votes) -> Float64[np.ndarray, " images"]:
        """What verdicts say of some images, -1 to 1 (d in METHODS.md). Raises ValueError if there are none."""
        if self.terms.verdicts is None:
            raise ValueError("there are no verdicts")
        reach: np.ndarray | float = 1.0
        if self.terms.limits_verdicts:
            neighbours, spreads = self.neighbours(votes), self._step("spreads").anchors[0]
            reach = neighbours.within_reach(self._usual(neighbours), spreads, self._spread_bits, self.terms.reach)
        return self.terms.verdicts.of_images(votes, reach)

    @property
    def moved(self) -> tuple[int, int]:
        """How many images verdicts raise and lower, by more than `MOVED`."""
        raised, lowered = (fraction(self._step("terms").totals[name]) for name in ("raised", "lowered"))
        return int(raised), int(lowered)

    def neighbours(self, votes: Votes) -> Neighbours:
        """What means over the neighbours of some images are taken from."""
        return Neighbours(votes, self.known[1].anchors[0], self.vote_bits)

    @cached_property
    def images(self) -> int:
        return int(fraction(self.known[0].totals["count"]))

    @property
    def in_reference(self) -> int:
        """How many images are among the reference's; 0 where nobody has looked."""
        return int(fraction(self.known[0].totals.get("in_reference", 0)))

    @cached_property
    def mean(self) -> float:
        """Mean of the log-odds over all images."""
        return float(self._mean("log_odds", "log_odds"))

    @cached_property
    def deviation(self) -> float:
        """Standard deviation of the log-odds over all images."""
        return float(self._mean("deviations", "squares")) ** 0.5

    @property
    def votes(self) -> Float64[np.ndarray, " anchors"]:
        """The weight of all images on each anchor."""
        return floating(self.known[1].anchors[0], self.vote_bits)

    @cached_property
    def vote_bits(self) -> int:
        return bits_for(float(max(self.images, 1)))

    @cached_property
    def furthest(self) -> float:
        """No |u| is larger."""
        if not self.terms:
            return self._furthest
        mean, deviation = self._of_terms
        return (self._step("terms").largest + abs(mean)) / (deviation or 1.0)

    @property
    def label_sums(self) -> LabelSums:
        """What crowding goes by."""
        counts, sums = self._step("labels").anchors
        return LabelSums(counts, sums, self._label_bits)

    @property
    def label_counts(self) -> Int64[np.ndarray, "three labels"]:
        """Of each label's images, how many there are, are not covered by the reference, and are unlike it."""
        return self._step("terms").anchors

    def _standard(self, votes: Votes) -> Float64[np.ndarray, " images"]:
        """The standardised log-odds: z in METHODS.md."""
        return (votes.log_odds - self.mean) / (self.deviation or 1.0)

    def _usual(self, neighbours: Neighbours) -> Float64[np.ndarray, " images"]:
        """The mean cosine of images' neighbours to their nearest anchors."""
        near = neighbours.votes.cosines.astype(np.float64)
        return neighbours.mean(near, self._step("deviations").anchors[1], self.vote_bits)

    def _step(self, name: str) -> Sums:
        return self.known[self.terms.steps.index(name)]

    def _mean(self, step: str, name: str) -> Fraction:
        return fraction(self._step(step).totals[name]) / max(self.images, 1)

    @cached_property
    def _of_terms(self) -> tuple[float, float]:
        """Mean and standard deviation of the values with the terms: of exact sums, whose difference loses nothing."""
        mean = self._mean("terms", "values")
        return float(mean), float(max(self._mean("terms", "squares") - mean**2, Fraction(0))) ** 0.5

    @property
    def _furthest(self) -> float:
        return self.known[1].largest / (self.deviation or 1.0)

    @cached_property
    def _label_bits(self) -> int:
        return bits_for(2 * max(self.images, 1) * self._furthest)

    @cached_property
    def _spread_bits(self) -> int:
        """Squares of differences of cosines are 4 at most."""
        return bits_for(8.0 * max(self.images, 1))
