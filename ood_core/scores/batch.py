"""What scorers are given: the labels, once; then images, block by block."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from ood_core.labels import LabelBank
from ood_core.numerics import BLOCK, Columns, Exponentials, Groups, blocks, grouped_negative_mass

EncodeWords = Callable[[Sequence[str]], Float[Tensor, "words dim"]]
"""Words to unit embeddings, under the prompts that the bank's nouns have."""


@dataclass(frozen=True)
class Labels:
    """A label bank as tensors on one device. `temperature` is τ of METHODS.md: logits are cosines divided by it.

    ID labels come first, then the negatives, in the order in which they fall into groups: `indices` are their places in
    the bank. `order_of`: the bank's permutation of so many negatives. `image_proxies`: each ID label's mean image
    embedding, where the bank has them. `encode`: None where no text encoder is at hand.
    """

    embeddings: Float[Tensor, "labels dim"]
    columns: Columns
    indices: Int[Tensor, " labels"]
    id_count: int
    temperature: float
    order_of: Callable[[int], np.ndarray]
    texts: Sequence[str] = ()
    image_proxies: Float[Tensor, "id_labels dim"] | None = None
    encode: EncodeWords | None = None

    @classmethod
    def of(cls, bank: LabelBank, device: str = "cpu", encode: EncodeWords | None = None) -> "Labels":
        proxies = bank.image_embeddings
        indices = np.concatenate([np.arange(bank.id_count), bank.id_count + bank.permutation()])
        embeddings = torch.from_numpy(bank.embeddings[indices]).to(device, torch.float32)
        return cls(
            embeddings=embeddings,
            columns=Columns(embeddings),
            indices=torch.from_numpy(indices).to(device),
            id_count=bank.id_count,
            temperature=bank.info.temperature,
            order_of=bank.info.order_of,
            texts=[bank.texts[index] for index in indices.tolist()],
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

    def places(self, indices: Int[Tensor, " chosen"]) -> Int[Tensor, " chosen"]:
        """The places here of labels that have the given places in the bank."""
        return self.indices.argsort()[indices]

    def groups(self, count: int, extra: int = 0) -> Groups:
        """The negatives split into `count` groups in the bank's order, with `extra` more behind the bank's own."""
        if not self.negative_count:
            raise ValueError("the label bank has no negative labels, which this method needs")
        order = torch.from_numpy(group_order(self.order_of(self.negative_count + extra), count)).to(self.device)
        behind = torch.arange(len(self.embeddings), len(self.embeddings) + extra, device=self.device)
        places = torch.cat([self.indices.argsort(), behind])
        return Groups.of(places[order + self.id_count] - self.id_count)


def group_order(permutation: np.ndarray, groups: int) -> np.ndarray:
    """Indices of the negatives group by group, [groups, per_group], as many groups as there are negatives at most.

    The remainder `M mod groups` is dropped first, from the end of the bank's order, then its permutation applies.
    """
    groups = min(groups, len(permutation))
    kept = len(permutation) - len(permutation) % groups
    return permutation[permutation < kept].reshape(groups, -1)


@dataclass(frozen=True)
class Similarities:
    """Cosines of images to labels, ID labels first, and what all methods make of them, each computed once."""

    cosines: Float[Tensor, "images labels"]
    id_count: int
    temperature: float

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

    def negative_mass(self, groups: Groups) -> Float64[Tensor, " images"]:
        """Softmax mass on the negatives, averaged over their groups; one minus NegLabel's score."""
        return grouped_negative_mass(
            self.id_exponentials.log_mass(), self.negative_exponentials.group_log_masses(groups)
        )


@dataclass(frozen=True)
class ImageBatch(Similarities):
    """A block of unit image embeddings and their cosines to every label, float32.

    `local`: unit features of the places of each image, where the encoder gives them.
    """

    embeddings: Float[Tensor, "images dim"]
    local: Float[Tensor, "images places dim"] | None = None

    @classmethod
    def of(
        cls,
        embeddings: Float[Tensor, "images dim"],
        labels: Labels,
        local: Float[Tensor, "images places dim"] | None = None,
    ) -> "ImageBatch":
        return cls(labels.columns.products(embeddings), labels.id_count, labels.temperature, embeddings, local)

    @cached_property
    def id_label(self) -> Tensor:
        """Each image's nearest ID label."""
        return self.id_cosines.argmax(dim=1)

    @cached_property
    def nearest_negative(self) -> Tensor:
        """The place among all labels of each image's nearest negative."""
        return self.id_count + self.negative_cosines.argmax(dim=1)


def image_batches(
    embeddings: Float[Tensor, "images dim"], labels: Labels, local: Float[Tensor, "images places dim"] | None = None
) -> Iterator[tuple[ImageBatch, int]]:
    """The images in blocks of one shape, each with its count of real images."""
    places = repeat(None) if local is None else (block for block, _ in blocks(local.to(labels.embeddings), BLOCK))
    for (block, count), of_places in zip(blocks(embeddings.to(labels.embeddings), BLOCK), places, strict=False):
        yield ImageBatch.of(block, labels, of_places), count
