"""The labels of a bank that are nearest to anchors, by cosine. Free of torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from ood_core.labels import LabelBank

NEGATIVES = 3
"""How many negative labels are shown beside an anchor."""
ANCHORS_AT_ONCE = 256
"""How many anchors are compared with all labels in one product; bounds the memory that it takes."""


@dataclass(frozen=True)
class NearLabel:
    """A label and its cosine to an anchor; higher = nearer."""

    label: str
    cosine: float


@dataclass(frozen=True)
class NearestLabels:
    """The ID label nearest to an anchor, and up to `NEGATIVES` negative labels, the nearest first."""

    id_label: NearLabel
    negatives: Sequence[NearLabel]


def nearest_labels(bank: LabelBank, anchors: Float32[np.ndarray, "anchors dim"]) -> list[NearestLabels]:
    """The labels nearest to each anchor, in the order of the anchors; of equally near labels the bank's earlier one.

    Raises ValueError if the bank's embeddings have another dimension than the anchors.
    """
    if anchors.shape[1] != bank.dim:
        raise ValueError(f"its anchors have {anchors.shape[1]} numbers, and the labels' embeddings {bank.dim}")
    found = []
    for start in range(0, len(anchors), ANCHORS_AT_ONCE):
        for cosines in anchors[start : start + ANCHORS_AT_ONCE] @ bank.embeddings.T:
            closest = _highest(cosines[: bank.id_count], 1)
            negatives = bank.id_count + _highest(cosines[bank.id_count :], NEGATIVES)
            near = [NearLabel(bank.texts[row], float(cosines[row])) for row in [*closest, *negatives]]
            found.append(NearestLabels(near[0], near[1:]))
    return found


def _highest(cosines: Float32[np.ndarray, " labels"], most: int) -> Int64[np.ndarray, " chosen"]:
    """The positions of the `most` highest cosines, the highest first; of equal ones the earlier first."""
    return np.argsort(-cosines, kind="stable")[:most]
