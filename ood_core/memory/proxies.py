"""AdaNeg's proxies: what a label has become by the images it remembers (arXiv 2410.20149; METHODS.md §7)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ood_core.memory.bank import Candidates


@dataclass(frozen=True)
class Remembered:
    """The rows of a memory that hold images: each its label's text embedding first, then its images, then padding."""

    labels: Int[Tensor, " rows"]
    features: Float[Tensor, "rows length dim"]
    present: Bool[Tensor, "rows length"]

    @classmethod
    def of(cls, memory: Candidates, columns: Float[Tensor, "dim labels"]) -> "Remembered":
        """From a memory's snapshot and all labels' embeddings."""
        rows = torch.from_numpy(memory.rows)
        labels, where, counts = torch.unique_consecutive(rows, return_inverse=True, return_counts=True)
        place = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[where] + 1
        length = int(counts.max()) + 1 if len(counts) else 1
        features = torch.zeros(len(labels), length, len(columns))
        features[:, 0] = columns.T.cpu()[labels]
        features[where, place] = torch.from_numpy(memory.embeddings.copy())
        present = torch.arange(length) <= counts[:, None]
        return cls(labels.to(columns.device), features.to(columns.device), present.to(columns.device))


def task_proxies(remembered: Remembered) -> Float[Tensor, "rows dim"]:
    """The normalised mean of each row."""
    return F.normalize(remembered.features.sum(dim=1), dim=1)


def gram_matrices(remembered: Remembered) -> Float[Tensor, "rows length length"]:
    """The cosines within each row; what `sample_cosines` needs once."""
    return remembered.features @ remembered.features.transpose(1, 2)


def sample_cosines(
    images: Float[Tensor, "images dim"],
    remembered: Remembered,
    gram: Float[Tensor, "rows length length"],
    beta: float,
) -> Float[Tensor, "images rows"]:
    """Cosines of images to proxies made for each image: the normalised sum of a row, weighted by nearness to the image.

    With u an image's similarities to a row, K the row's Gram matrix and w = e^(-β(1 - u)), the cosine is
    wᵀu / sqrt(wᵀKw): no proxy is ever made.
    """
    rows, length, dim = remembered.features.shape
    near = (images @ remembered.features.view(rows * length, dim).T).view(len(images), rows, length)
    weights = torch.exp(beta * (near - 1.0)) * remembered.present
    squared = torch.einsum("bri,rij,brj->br", weights, gram, weights)
    return (weights * near).sum(dim=2) / squared.clamp_min(1e-24).sqrt()
