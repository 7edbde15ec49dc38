"""NegLabel (ICLR 2024, arXiv 2403.20078, section 3.3; METHODS.md §3). On a CSP bank this is CSP (arXiv 2410.08611)."""

from jaxtyping import Float, Float64, Int
from torch import Tensor

from ood_core.numerics import Exponentials, Groups, grouped_negative_mass
from ood_core.scores.batch import ImageBatch, Labels


def neglabel(
    id_cosines: Float[Tensor, "images id_labels"],
    negative_cosines: Float[Tensor, "images negatives"],
    order: Int[Tensor, "groups per_group"],
    temperature: float,
) -> Float64[Tensor, " images"]:
    """Softmax mass on the ID labels, averaged over groups of negatives, in [0, 1]; higher = more in-distribution."""
    id_log_mass = Exponentials.of(id_cosines, temperature).log_mass()
    masses = Exponentials.of(negative_cosines, temperature).group_log_masses(Groups.of(order))
    return 1.0 - grouped_negative_mass(id_log_mass, masses)


class NegLabelScorer:
    """Scores images by NegLabel. Raises ValueError if there are no negative labels."""

    def __init__(self, labels: Labels, groups: int) -> None:
        self.groups = labels.groups(groups)

    def __call__(self, batch: ImageBatch) -> Float64[Tensor, " images"]:
        return 1.0 - batch.negative_mass(self.groups)
