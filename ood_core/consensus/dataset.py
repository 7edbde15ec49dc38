"""Consensus, the reference and verdicts over a whole dataset in one process."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Float64, Integer
from torch import Tensor

from ood_core.consensus.agreement import agreed
from ood_core.consensus.anchors import Sample, anchor_count
from ood_core.consensus.base import NO_TERMS, Base, Terms
from ood_core.consensus.questions import Candidates, Worth, chosen
from ood_core.consensus.reference import ReferenceSums, ReferenceTerm
from ood_core.consensus.verdicts import VerdictSums
from ood_core.consensus.votes import Votes
from ood_core.consensus.voting import Voting
from ood_core.methods import Consensus


@dataclass(frozen=True)
class ConsensusScores:
    """Consensus scores, higher = more in-distribution, and how they came about.

    Per image the score, how much its neighbours counted (`weight`) and moved it (`shift`), see `Smoothed`, and its
    nearest anchor; `agreement` of the whole dataset, 0 to 1.
    """

    score: Float64[np.ndarray, " images"]
    weight: Float64[np.ndarray, " images"]
    shift: Float64[np.ndarray, " images"]
    anchor: Integer[np.ndarray, " images"]
    agreement: float


@dataclass(frozen=True)
class Neighbourhood:
    """Images' votes on anchors, unit vectors, without log-odds; and the sums of a reference's and of verdicts, where
    there are any.

    `label_count`: how many ID labels images have voted on; 0 for none. `parameters`: by which they have voted.
    """

    votes: Votes
    anchors: Float32[np.ndarray, "anchors dim"]
    parameters: Consensus
    label_count: int = 0
    reference: ReferenceSums | None = None
    verdicts: VerdictSums | None = None

    @classmethod
    def of(
        cls,
        embeddings: Float[Tensor, "images dim"],
        keys: Sequence[str],
        parameters: Consensus,
        device: str = "cpu",
        *,
        labels: Float32[np.ndarray, "labels dim"] | None = None,
        reference: Float[Tensor, "others dim"] | None = None,
    ) -> "Neighbourhood":
        """The votes of images with unit embeddings and keys, on anchors that are fitted to them.

        `labels`: the ID labels' embeddings, for crowding and a reference; `reference`: the unit embeddings of images
        that are known to belong. Raises ValueError if there are fewer images than anchors, 16 at least.
        """
        images = len(keys)
        sample = Sample.together([Sample.of(keys, embeddings.float().cpu().numpy(), images)])
        anchors = sample.anchors(anchor_count(images, parameters))
        voting = Voting(anchors, parameters, device, labels)
        votes, label_count = voting(embeddings, np.zeros(images)), 0 if labels is None else len(labels)
        sums = None
        if reference is not None:
            others = voting(reference, np.zeros(len(reference)))
            sums = ReferenceSums.of(others, len(anchors), label_count)
        return cls(votes, anchors, parameters, label_count, sums)

    def with_log_odds(self, log_odds: Float64[np.ndarray, " images"]) -> Votes:
        """The votes, with the base's log-odds (`ood_core.consensus.log_odds`)."""
        return replace(self.votes, log_odds=log_odds)

    @property
    def anchor_count(self) -> int:
        return len(self.anchors)

    def told(self, images: Integer[np.ndarray, " some"], belongs: Float64[np.ndarray, " some"]) -> "Neighbourhood":
        """The same, once somebody has said of some of the images how probably each belongs, 0 to 1."""
        votes = self.votes
        some = Votes(np.zeros(len(images)), votes.anchors[images], votes.weights[images], votes.cosines[images])
        return replace(self, verdicts=VerdictSums.of(some, belongs, self.anchors))

    def of_consensus(self, parameters: Consensus) -> Terms:
        """What consensus adds to its base: the reference and verdicts, if there are any and it takes them; crowding."""
        reference = self.reference if parameters.reference is not False else None
        verdicts = self.verdicts if parameters.verdicts else None
        found = Terms(reference, parameters.crowding, self.label_count, verdicts, parameters.reach)
        return found if found else NO_TERMS


def consensus_of_neighbours(
    among: Neighbourhood, log_odds: Float64[np.ndarray, " images"], parameters: Consensus
) -> ConsensusScores:
    """Smooths the base's log-odds, to which what `parameters` asks for of reference, verdicts and crowding is added."""
    votes = among.with_log_odds(log_odds)
    found = agreed(parameters, among.anchor_count, [votes], among.of_consensus(parameters))
    smoothed = found.scores(votes)
    return ConsensusScores(smoothed.score, smoothed.weight, smoothed.shift, votes.anchors[:, 0], found.agreement)


def consensus(
    embeddings: Float[Tensor, "images dim"],
    keys: Sequence[str],
    log_odds: Float64[np.ndarray, " images"],
    parameters: Consensus,
    device: str = "cpu",
) -> ConsensusScores:
    """Smooths the base method's log-odds over images with unit embeddings and keys, without any reference or crowding.

    Does not depend on the order of the images. Raises ValueError if there are fewer images than anchors, 16 at least.
    """
    among = Neighbourhood.of(embeddings, keys, parameters, device)
    return consensus_of_neighbours(among, log_odds, replace(parameters, crowding=0.0))


def with_reference(
    among: Neighbourhood, log_odds: Float64[np.ndarray, " images"]
) -> tuple[Float64[np.ndarray, " images"], ReferenceTerm]:
    """The base's standardised log-odds, lowered by what the reference says of each image; and what it says."""
    votes = among.with_log_odds(log_odds)
    base = _summed_up(votes, among.anchor_count, Terms(among.reference, 0.0, among.label_count))
    return base.values(votes), base.reference_term(votes)


def with_verdicts(among: Neighbourhood, log_odds: Float64[np.ndarray, " images"]) -> Float64[np.ndarray, " images"]:
    """The base's standardised log-odds, moved by what verdicts say of each image, if there are any."""
    votes = among.with_log_odds(log_odds)
    terms = Terms(verdicts=among.verdicts, reach=among.parameters.reach) if among.verdicts else NO_TERMS
    return _summed_up(votes, among.anchor_count, terms).values(votes)


def questions(
    among: Neighbourhood,
    log_odds: Float64[np.ndarray, " images"],
    parameters: Consensus,
    count: int,
    asked: Set[int] = frozenset(),
) -> Integer[np.ndarray, " some"]:
    """The images to ask about next, those first whose answer moves most; `count` at most. `asked`: answered ones."""
    votes = among.with_log_odds(log_odds)
    found = agreed(parameters, among.anchor_count, [votes], among.of_consensus(parameters))
    worth = Worth.of(found, found.sums_of_scores(votes))
    order = worth.order({int(votes.anchors[image, 0]) for image in asked})
    places = np.stack([np.zeros(len(votes), np.int64), np.arange(len(votes))], axis=1)
    candidates = Candidates.of(votes, places, order, count + len(asked))
    taken = chosen(candidates, order, {(0, image) for image in asked}, count)
    return np.array([image for _, (_, image) in taken], np.int64)


def _summed_up(votes: Votes, anchor_count: int, terms: Terms) -> Base:
    base = Base(anchor_count, terms)
    while not base.finished:
        base = base.after(base.sums(votes))
    return base
