"""MCM: Maximum Concept Matching (NeurIPS 2022, arXiv 2211.13445, equation 1; METHODS.md §1)."""

from jaxtyping import Float, Float64
from torch import Tensor

from ood_core.numerics import mass_outside_maximum
from ood_core.scores.batch import ImageBatch


def mcm(id_cosines: Float[Tensor, "images id_labels"], temperature: float) -> Float64[Tensor, " images"]:
    """The largest softmax probability over the ID labels, in (0, 1]; higher = more in-distribution."""
    return 1.0 - mass_outside_maximum(id_cosines / temperature)


class MCMScorer:
    """Scores images by MCM, with a temperature of the method's own."""

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def __call__(self, batch: ImageBatch) -> Float64[Tensor, " images"]:
        return mcm(batch.id_cosines, self.temperature)
