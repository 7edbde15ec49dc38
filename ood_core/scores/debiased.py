"""Debiased negative mining: the score (DNM, KDD 2026; METHODS.md §6)."""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from ood_core.scores.batch import ImageBatch, Labels


def debiased(
    id_log_mean: Float64[Tensor, " images"],
    group_log_means: Float64[Tensor, "images groups"],
    id_count: int,
    per_group: int,
    true_negative_fraction: float,
) -> Float64[Tensor, " images"]:
    """The ID labels' mean term over a normaliser Z whose negatives are freed of false ones, averaged over groups.

    Given the logs of mean e^logit over the ID labels and over each group of negatives. Higher = more in-distribution,
    with one exception that is the published method's own: where the ID mean dominates, Z turns negative, and so does
    the score. The more ID labels there are (`id_count` against `per_group`), the rarer this is.
    """
    shift = torch.maximum(id_log_mean[:, None], group_log_means)
    of_id, of_group = torch.exp(id_log_mean[:, None] - shift), torch.exp(group_log_means - shift)
    wrong = 1.0 - true_negative_fraction
    normaliser = id_count * of_id + per_group / true_negative_fraction * (of_group - wrong * of_id)
    return (of_id / normaliser).mean(dim=1)


class DebiasedScorer:
    """Scores images by debiased negative mining. Raises ValueError if there are no negative labels."""

    def __init__(self, labels: Labels, groups: int, true_negative_fraction: float) -> None:
        self.groups, self.true_negative_fraction = labels.groups(groups), true_negative_fraction

    def __call__(self, batch: ImageBatch) -> Float64[Tensor, " images"]:
        per_group = self.groups.per_group
        return debiased(
            batch.id_exponentials.log_mass() - math.log(batch.id_count),
            batch.negative_exponentials.group_log_masses(self.groups) - math.log(per_group),
            batch.id_count,
            per_group,
            self.true_negative_fraction,
        )
