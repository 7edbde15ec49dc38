"""NegLabel (ICLR 2024, arXiv 2403.20078, section 3.3; METHODS.md §3). On a CSP bank this is CSP (arXiv 2410.08611)."""

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from ood_core.methods import NegLabel
from ood_core.numerics import grouped_negative_mass
from ood_core.scores.batch import ImageBatch, Labels


def group_order(permutation: np.ndarray, groups: int) -> np.ndarray:
    """Indices of the negatives group by group, [groups, per_group], as many groups as there are negatives at most.

    The remainder `M mod groups` is dropped first, from the end of the bank's order, then its permutation applies.
    """
    if not len(permutation):
        raise ValueError("the label bank has no negative labels, which this method needs")
    groups = min(groups, len(permutation))
    kept = len(permutation) - len(permutation) % groups
    return permutation[permutation < kept].reshape(groups, -1)


def neglabel(
    id_cosines: Float[Tensor, "images id_labels"],
    negative_cosines: Float[Tensor, "images negatives"],
    order: Int[Tensor, "groups per_group"],
    temperature: float,
) -> Float64[Tensor, " images"]:
    """Softmax mass on the ID labels, averaged over groups of negatives, in [0, 1]; higher = more in-distribution."""
    return 1.0 - grouped_negative_mass(id_cosines / temperature, negative_cosines[:, order] / temperature)


class NegLabelScorer:
    def __init__(self, parameters: NegLabel, labels: Labels) -> None:
        order = group_order(labels.permutation, parameters.groups)
        self.order = torch.from_numpy(order).to(labels.negative.device)
        self.temperature = labels.temperature

    def __call__(self, batch: ImageBatch) -> Float64[Tensor, " images"]:
        return neglabel(batch.id_cosines, batch.negative_cosines, self.order, self.temperature)
