"""GL-MCM: global and local maximum concept matching (IJCV 2025, arXiv 2304.04521; METHODS.md §2)."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ood_core.numerics import Columns, mass_outside_maximum
from ood_core.scores.batch import ImageBatch, Labels
from ood_core.scores.mcm import mcm

IMAGES_AT_ONCE = 16


def local_mcm(
    local_cosines: Float[Tensor, "images places id_labels"], temperature: float
) -> Float64[Tensor, " images"]:
    """The largest softmax probability over the ID labels anywhere in the image; higher = more in-distribution."""
    images, places, _ = local_cosines.shape
    return 1.0 - mass_outside_maximum(local_cosines.flatten(0, 1) / temperature).view(images, places).amin(dim=1)


class GLMCMScorer:
    """MCM of the image plus `local_weight` times MCM of its best place. Raises ValueError without local features."""

    def __init__(self, labels: Labels, temperature: float, local_weight: float) -> None:
        self.temperature, self.local_weight, self.id_labels = temperature, local_weight, Columns(labels.id)

    def __call__(self, batch: ImageBatch) -> Float64[Tensor, " images"]:
        if batch.local is None:
            raise ValueError("gl-mcm needs local features, which come from the images themselves")
        # A place has a cosine to every label: of a whole block they would take gigabytes.
        local = [self._best_place(images) for images in batch.local.split(IMAGES_AT_ONCE)]
        return mcm(batch.id_cosines, self.temperature) + self.local_weight * torch.cat(local)

    def _best_place(self, local: Float[Tensor, "images places dim"]) -> Float64[Tensor, " images"]:
        images, places, _ = local.shape
        return local_mcm(self.id_labels.products(local.flatten(0, 1)).view(images, places, -1), self.temperature)
