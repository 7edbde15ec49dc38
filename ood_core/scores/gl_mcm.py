"""GL-MCM: global and local maximum concept matching (IJCV 2025, arXiv 2304.04521; METHODS.md §2)."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ood_core.methods import GLMCM
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
    def __init__(self, parameters: GLMCM, labels: Labels) -> None:
        self.parameters, self.id_labels = parameters, Columns(labels.id)

    def __call__(self, batch: ImageBatch) -> Float64[Tensor, " images"]:
        if batch.local is None:
            raise ValueError("gl-mcm needs local features, which come from the images themselves")
        temperature, weight = self.parameters.temperature, self.parameters.local_weight
        # A place has a cosine to every label: of a whole block they would take gigabytes.
        local = [self._best_place(images, temperature) for images in batch.local.split(IMAGES_AT_ONCE)]
        return mcm(batch.id_cosines, temperature) + weight * torch.cat(local)

    def _best_place(self, local: Float[Tensor, "images places dim"], temperature: float) -> Float64[Tensor, " images"]:
        images, places, _ = local.shape
        return local_mcm(self.id_labels.products(local.flatten(0, 1)).view(images, places, -1), temperature)
