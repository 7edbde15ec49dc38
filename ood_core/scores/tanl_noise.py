"""Images of pure noise, from which TANL learns at first what does not belong (METHODS.md §11, "Start")."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32
from torch import Tensor

from ood_core.encoders import ClipEncoder
from ood_core.numerics import blocks

OF_EACH_KIND = 3


def noise_images(seed: int, size: int, width: int | None = None) -> Float32[Tensor, "15 3 height width"]:
    """Images in [0, 1], `size` high and wide (or `width` wide): three of each of five kinds of noise.

    Gaussian; uniform; Poisson of mean 5; Gamma of shape 2 and scale 1; pixels that are black or white. Those of
    Gaussian, Poisson and Gamma noise are brought to [0, 1] by the least and the greatest value of the three. Equal for
    equal seeds; no global generator is touched.
    """
    rng, shape = np.random.default_rng(seed), (OF_EACH_KIND, 3, size, width or size)
    kinds = [
        _stretched(rng.normal(size=shape)),
        rng.random(shape),
        _stretched(rng.poisson(5, shape).astype(np.float64)),
        _stretched(rng.gamma(2, 1, shape)),
        np.broadcast_to(rng.integers(0, 2, (OF_EACH_KIND, 1, *shape[2:])), shape),
    ]
    return torch.from_numpy(np.concatenate(kinds).astype(np.float32))


def _stretched(values: np.ndarray) -> np.ndarray:
    """Values from 0 to 1; 0 if they are all the same."""
    least, greatest = values.min(), values.max()
    return (values - least) / ((greatest - least) or 1.0)


@torch.inference_mode()
def noise_features(encoder: ClipEncoder, seed: int = 0) -> Float32[Tensor, "15 dim"]:
    """Unit embeddings of the noise images, which the model is given as they are, without its mean and deviation."""
    parts = []
    for block, count in blocks(noise_images(seed, *encoder.preprocessing.size), encoder.image_block):
        features = encoder.model.encode_image(block.to(encoder.device, encoder.dtype))  # pyright: ignore[reportCallIssue]
        parts.append(F.normalize(features.float(), dim=1)[:count])
    return torch.cat(parts)
