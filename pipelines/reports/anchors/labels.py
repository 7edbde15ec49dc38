"""Which labels are nearest to anchors. Free of torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from ood_core.labels import LabelBank

NEGATIVES = 3
"""Negative labels shown of an anchor."""
ANCHORS_AT_ONCE = 256


@dataclass(frozen=True)
class Near:
    """A label, and its cosine to an anchor."""

    label: str
    cosine: float


@dataclass(frozen=True)
class Nearest:
    """The ID label that is nearest to an anchor, and the negative labels that are, the nearest first."""

    id_label: Near
    negatives: Sequence[Near]


def nearest(bank: LabelBank, anchors: Float32[np.ndarray, "anchors dim"]) -> list[Nearest]:
    """Of each anchor; of equally near labels the bank's earlier one first. Raises ValueError if the bank's embeddings
    are of another dimension."""
    if anchors.shape[1] != bank.dim:
        raise ValueError(f"its anchors have {anchors.shape[1]} numbers, and the labels' embeddings {bank.dim}")
    found = []
    for start in range(0, len(anchors), ANCHORS_AT_ONCE):
        for cosines in anchors[start : start + ANCHORS_AT_ONCE] @ bank.embeddings.T:
            closest = _first(cosines[: bank.id_count], 1)
            negatives = bank.id_count + _first(cosines[bank.id_count :], NEGATIVES)
            near = [Near(bank.texts[row], float(cosines[row])) for row in [*closest, *negatives]]
            found.append(Nearest(near[0], near[1:]))
    return found


def _first(cosines: np.ndarray, most: int) -> np.ndarray:
    return np.argsort(-cosines, kind="stable")[:most]
