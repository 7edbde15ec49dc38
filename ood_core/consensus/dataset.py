"""Consensus over a whole dataset in one process."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Integer
from torch import Tensor

from ood_core.consensus.agreement import agreed
from ood_core.consensus.anchors import Sample, anchor_count
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


def consensus(
    embeddings: Float[Tensor, "images dim"],
    keys: Sequence[str],
    log_odds: Float64[np.ndarray, " images"],
    parameters: Consensus,
    device: str = "cpu",
) -> ConsensusScores:
    """Smooths the base method's log-odds (`ood_core.consensus.log_odds`) over images with unit embeddings and keys.

    Does not depend on the order of the images. Raises ValueError if there are fewer images than anchors, 16 at least.
    """
    images = len(keys)
    sample = Sample.together([Sample.of(keys, embeddings.float().cpu().numpy(), images)])
    anchors = sample.anchors(anchor_count(images, parameters))
    votes = Voting(anchors, parameters, device)(embeddings, log_odds)
    found = agreed(parameters, len(anchors), [votes])
    smoothed = found.scores(votes)
    return ConsensusScores(smoothed.score, smoothed.weight, smoothed.shift, votes.anchors[:, 0], found.agreement)
