"""A trial of encoders on generated images: how nearly two ways of computing agree."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

CELLS = (2, 5, 16, 64)


def trial_images(size: tuple[int, int]) -> UInt8[Tensor, "images height width 3"]:
    """Pictures of coloured cells of a given height and width, always the same: from a few large cells to fine noise."""
    rng = np.random.default_rng(0)
    height, width = size
    pictures = []
    for count in CELLS:
        cells = rng.integers(0, 256, (count, count, 3), np.uint8)
        rows, columns = np.arange(height) * count // height, np.arange(width) * count // width
        pictures.append(cells[rows][:, columns])
    return torch.from_numpy(np.stack(pictures))


def least_cosine(found: Float[Tensor, "images dim"], expected: Float[Tensor, "images dim"]) -> float:
    """The least cosine between the unit embeddings of an image; NaN if one is not finite."""
    return float((found.double() * expected.double()).sum(dim=1).min())
