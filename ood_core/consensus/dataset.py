"""Consensus and the reference over a whole dataset in one process."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Float64, Integer
from torch import Tensor

from ood_core.consensus.agreement import agreed
from ood_core.consensus.anchors import Sample, anchor_count
from ood_core.consensus.base import NO_TERMS, Base, Terms
from ood_core.consensus.reference import ReferenceSums, ReferenceTerm
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
    """Images' votes on anchors, without log-odds, and the sums of a reference's, where there is one.

    `label_count`: how many ID labels images have voted on; 0 for none.
    """

    votes: Votes
    anchor_count: int
    label_count: int = 0
    reference: ReferenceSums | None = None

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
        return cls(votes, len(anchors), label_count, sums)

    def with_log_odds(self, log_odds: Float64[np.ndarray, " images"]) -> Votes:
        """The votes, with the base's log-odds (`ood_core.consensus.log_odds`)."""
        return replace(self.votes, log_odds=log_odds)

    def terms(self, crowding: float = 0.0, with_reference: bool = True) -> Terms:
        """What is added to a base: the reference, if there is one and it is asked for, and crowding."""
        reference = self.reference if with_reference else None
        return Terms(reference, crowding, self.label_count) if reference or crowding else NO_TERMS


def consensus_of_neighbours(
    among: Neighbourhood, log_odds: Float64[np.ndarray, " images"], parameters: Consensus
) -> ConsensusScores:
    """Smooths the base's log-odds, to which what `parameters` asks for of reference and crowding is added."""
    votes = among.with_log_odds(log_odds)
    terms = among.terms(parameters.crowding, parameters.reference is not False)
    found = agreed(parameters, among.anchor_count, [votes], terms)
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
    votes, base = among.with_log_odds(log_odds), Base(among.anchor_count, among.terms())
    while not base.finished:
        base = base.after(base.sums(votes))
    return base.values(votes), base.reference_term(votes)
