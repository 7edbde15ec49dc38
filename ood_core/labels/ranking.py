"""One block of candidates under any criterion that ranks a candidate by itself."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from ood_core.criteria import ConjugatedPool, Intermodal, NegMining
from ood_core.labels.csp import capped_maximum_similarity
from ood_core.labels.interneg import margins
from ood_core.labels.neglabel import similarity_quantile


class Ranked(NamedTuple):
    """Selection scores, lower = a better negative, and which candidates may be kept at all."""

    scores: Float[np.ndarray, " candidates"]
    survives: Bool[np.ndarray, " candidates"]


def rank(
    criterion: NegMining | ConjugatedPool | Intermodal,
    candidates: Float[Tensor, "candidates dim"],
    id_labels: Float[Tensor, "id_labels dim"],
    image_embeddings: Float[Tensor, "id_labels dim"] | None = None,
) -> Ranked:
    """Ranks candidates by a criterion.

    `image_embeddings`: the mean image p_i of each ID label, which InterNeg's criterion needs; one of zeros is not
    known, and its label has no say. Raises ValueError if the criterion needs them and they are missing.
    """
    if isinstance(criterion, Intermodal):
        if image_embeddings is None:
            raise ValueError("InterNeg's criterion needs image embeddings of the ID labels")
        known = image_embeddings.any(dim=1)
        survives, excess = margins(candidates, id_labels[known], image_embeddings[known])
        return Ranked(excess, survives)
    if isinstance(criterion, ConjugatedPool):
        scores = capped_maximum_similarity(candidates, id_labels)
    else:
        scores = similarity_quantile(candidates, id_labels, criterion.quantile)
    return Ranked(scores, np.ones(len(scores), bool))
