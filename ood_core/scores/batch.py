"""What every scorer is given: the labels, once; then images, block by block."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ood_core.labels import LabelBank


@dataclass(frozen=True)
class Labels:
    """A label bank as tensors on one device. `temperature` is τ of METHODS.md: logits are cosines divided by it."""

    id: Float[Tensor, "id_labels dim"]
    negative: Float[Tensor, "negatives dim"]
    temperature: float
    permutation: np.ndarray

    @classmethod
    def of(cls, bank: LabelBank, device: str = "cpu") -> "Labels":
        embeddings = torch.from_numpy(bank.embeddings).to(device, torch.float32)
        return cls(
            id=embeddings[: bank.id_count],
            negative=embeddings[bank.id_count :],
            temperature=bank.info.temperature,
            permutation=bank.permutation(),
        )


@dataclass(frozen=True)
class ImageBatch:
    """A block of unit image embeddings and their cosines to every label, float32."""

    embeddings: Float[Tensor, "images dim"]
    id_cosines: Float[Tensor, "images id_labels"]
    negative_cosines: Float[Tensor, "images negatives"]

    @classmethod
    def of(cls, embeddings: Float[Tensor, "images dim"], labels: Labels) -> "ImageBatch":
        return cls(embeddings, embeddings @ labels.id.T, embeddings @ labels.negative.T)
