"""What every scorer is given: the labels, once; then images, block by block."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ood_core.labels import LabelBank
from ood_core.numerics import Columns, Exponentials

EncodeWords = Callable[[Sequence[str]], Float[Tensor, "words dim"]]
"""Words to unit embeddings, under the prompts that the bank's nouns have."""


@dataclass(frozen=True)
class Labels:
    """A label bank as tensors on one device. `temperature` is τ of METHODS.md: logits are cosines divided by it.

    `embeddings` are those of all labels, ID first, and `columns` the same for products with images. `order_of`: the
    bank's permutation of so many negatives. `image_proxies`: each ID label's mean image embedding, where the bank has
    them. `encode`: None where no text encoder is at hand.
    """

    embeddings: Float[Tensor, "labels dim"]
    columns: Columns
    id_count: int
    temperature: float
    order_of: Callable[[int], np.ndarray]
    texts: Sequence[str] = ()
    image_proxies: Float[Tensor, "id_labels dim"] | None = None
    encode: EncodeWords | None = None

    @classmethod
    def of(cls, bank: LabelBank, device: str = "cpu", encode: EncodeWords | None = None) -> "Labels":
        proxies = bank.image_embeddings
        embeddings = torch.from_numpy(bank.embeddings).to(device, torch.float32)
        return cls(
            embeddings=embeddings,
            columns=Columns.of(embeddings),
            id_count=bank.id_count,
            temperature=bank.info.temperature,
            order_of=bank.info.order_of,
            texts=bank.texts,
            image_proxies=None if proxies is None else torch.from_numpy(proxies).to(device, torch.float32),
            encode=encode,
        )

    @property
    def id(self) -> Float[Tensor, "id_labels dim"]:
        return self.embeddings[: self.id_count]

    @property
    def negative(self) -> Float[Tensor, "negatives dim"]:
        return self.embeddings[self.id_count :]

    @property
    def negative_count(self) -> int:
        return len(self.embeddings) - self.id_count

    @property
    def dim(self) -> int:
        return self.embeddings.shape[1]

    @property
    def device(self) -> torch.device:
        return self.embeddings.device

    def group_order(self, groups: int, extra: int = 0) -> Int[Tensor, "groups per_group"]:
        """`group_order` of the bank's permutation of its negatives and so many extra ones behind them."""
        if not self.negative_count:
            raise ValueError("the label bank has no negative labels, which this method needs")
        return torch.from_numpy(group_order(self.order_of(self.negative_count + extra), groups)).to(self.device)


def group_order(permutation: np.ndarray, groups: int) -> np.ndarray:
    """Indices of the negatives group by group, [groups, per_group], as many groups as there are negatives at most.

    The remainder `M mod groups` is dropped first, from the end of the bank's order, then its permutation applies.
    """
    groups = min(groups, len(permutation))
    kept = len(permutation) - len(permutation) % groups
    return permutation[permutation < kept].reshape(groups, -1)


@dataclass(frozen=True)
class ImageBatch:
    """A block of unit image embeddings and their cosines to every label, float32.

    `local`: unit features of the places of each image, where the encoder gives them.
    """

    embeddings: Float[Tensor, "images dim"]
    cosines: Float[Tensor, "images labels"]
    id_count: int
    temperature: float
    local: Float[Tensor, "images places dim"] | None = None

    @classmethod
    def of(
        cls,
        embeddings: Float[Tensor, "images dim"],
        labels: Labels,
        local: Float[Tensor, "images places dim"] | None = None,
    ) -> "ImageBatch":
        return cls(embeddings, labels.columns.products(embeddings), labels.id_count, labels.temperature, local)

    @property
    def id_cosines(self) -> Float[Tensor, "images id_labels"]:
        return self.cosines[:, : self.id_count]

    @property
    def negative_cosines(self) -> Float[Tensor, "images negatives"]:
        return self.cosines[:, self.id_count :]

    @cached_property
    def id_exponentials(self) -> Exponentials:
        return Exponentials.of(self.id_cosines, self.temperature)

    @cached_property
    def negative_exponentials(self) -> Exponentials:
        return Exponentials.of(self.negative_cosines, self.temperature)

    @cached_property
    def id_label(self) -> Tensor:
        """Each image's nearest ID label."""
        return self.id_cosines.argmax(dim=1)

    @cached_property
    def negative_label(self) -> Tensor:
        """Each image's nearest negative label; -1 where there are none."""
        if self.cosines.shape[1] == self.id_count:
            return torch.full((len(self.cosines),), -1, device=self.cosines.device)
        return self.negative_cosines.argmax(dim=1)
