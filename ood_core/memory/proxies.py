"""AdaNeg's proxies: means of a label's text and the images it remembers (arXiv 2410.20149; METHODS.md §7)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ood_core.memory.bank import Candidates
from ood_core.numerics import Columns


@dataclass(frozen=True)
class Remembered:
    """The rows of a memory that hold images: each its label's text embedding first, then its images, then padding."""

    labels: Int[Tensor, " rows"]
    features: Float[Tensor, "rows length dim"]
    present: Bool[Tensor, "rows length"]

    @classmethod
    def of(cls, memory: Candidates, embeddings: Float[Tensor, "labels dim"]) -> "Remembered":
        """Arranges a memory's snapshot by row, with the text embeddings of all labels at hand."""
        rows = torch.from_numpy(memory.rows.copy())
        labels, where, counts = torch.unique_consecutive(rows, return_inverse=True, return_counts=True)
        place = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[where] + 1
        length = int(counts.max()) + 1 if len(counts) else 1
        features = torch.zeros(len(labels), length, embeddings.shape[1])
        features[:, 0] = embeddings.cpu()[labels]
        features[where, place] = torch.from_numpy(memory.embeddings.copy())
        present = torch.arange(length) <= counts[:, None]
        return cls(labels.to(embeddings.device), features.to(embeddings.device), present.to(embeddings.device))


def task_proxies(remembered: Remembered) -> Float[Tensor, "rows dim"]:
    """One proxy for each row: the normalised mean of its text and images."""
    return F.normalize(remembered.features.sum(dim=1), dim=1)


@dataclass(frozen=True)
class SampleProxies:
    """Proxies made for each image: the normalised sum of a row, weighted by nearness to the image.

    None is ever made: with u an image's similarities to a row, K the row's Gram matrix and w = e^(-β(1 - u)), the
    image's cosine to the proxy is wᵀu / sqrt(wᵀKw).
    """

    features: Columns
    gram: Float[Tensor, "rows padded padded"]
    present: Bool[Tensor, "rows length"]

    @classmethod
    def of(cls, remembered: Remembered) -> "SampleProxies":
        gram = remembered.features @ remembered.features.transpose(1, 2)
        more = -gram.shape[1] % 16  # products as narrow as a row is long would depend on the image's place in its block
        return cls(Columns(remembered.features.flatten(0, 1)), F.pad(gram, (0, more, 0, more)), remembered.present)

    def cosines(self, images: Float[Tensor, "images dim"], beta: float) -> Float[Tensor, "images rows"]:
        rows, length = self.present.shape
        near = self.features.products(images).view(len(images), rows, length)
        weights = torch.exp(beta * (near - 1.0)) * self.present
        padded = F.pad(weights, (0, self.gram.shape[1] - length)).transpose(0, 1)
        squared = ((padded @ self.gram) * padded).sum(dim=2).T
        return (weights * near).sum(dim=2) / squared.clamp_min(1e-24).sqrt()
