"""The largest cosine to an ID label, known as MaxLogit (ICML 2022, arXiv 1911.11132; METHODS.md §1a)."""

from jaxtyping import Float, Float64
from torch import Tensor

from ood_core.scores.batch import ImageBatch


def max_cos(id_cosines: Float[Tensor, "images id_labels"]) -> Float64[Tensor, " images"]:
    """The largest cosine to an ID label, in [-1, 1]; higher = more in-distribution."""
    return id_cosines.max(dim=1).values.double()


class MaxCosScorer:
    """Scores images by their largest cosine."""

    def __call__(self, batch: ImageBatch) -> Float64[Tensor, " images"]:
        return max_cos(batch.id_cosines)
