"""Every asked-for score of a batch of embeddings, from one multiplication with the labels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ood_core.labels import LabelBank
from ood_core.methods import Parameters
from ood_core.numerics import BLOCK, blocks, mass_outside_maximum
from ood_core.scores.batch import ImageBatch, Labels
from ood_core.scores.scorers import SCORERS


@dataclass(frozen=True)
class ImageScores:
    """Per image: its nearest ID label and that label's softmax probability among the ID labels at the bank's
    temperature, its nearest negative label (-1 where the bank has none), and a float64 score per method."""

    id_label: np.ndarray
    id_probability: np.ndarray
    negative_label: np.ndarray
    scores: Mapping[str, np.ndarray]


class ImageScorer:
    """Scores embeddings by several methods at once. A row's result does not depend on what is scored beside it."""

    def __init__(self, bank: LabelBank, methods: Mapping[str, Parameters], device: str = "cpu") -> None:
        self.labels = Labels.of(bank, device)
        self.scorers = {name: SCORERS[name](parameters, self.labels) for name, parameters in methods.items()}

    @torch.inference_mode()
    def __call__(self, embeddings: Float[Tensor, "images dim"]) -> ImageScores:
        parts = [self._score(block, count) for block, count in blocks(embeddings.to(self.labels.id), BLOCK)]
        columns = [torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)] or self._empty()
        id_label, id_probability, negative_label, *scores = columns
        return ImageScores(id_label, id_probability, negative_label, dict(zip(self.scorers, scores, strict=True)))

    def _score(self, block: Tensor, count: int) -> list[Tensor]:
        batch = ImageBatch.of(block, self.labels)
        probability = 1.0 - mass_outside_maximum(batch.id_cosines / self.labels.temperature)
        columns = [batch.id_cosines.argmax(dim=1), probability, self._nearest_negative(batch)]
        columns += [scorer(batch) for scorer in self.scorers.values()]
        return [column[:count] for column in columns]

    def _nearest_negative(self, batch: ImageBatch) -> Tensor:
        if batch.negative_cosines.shape[1]:
            return batch.negative_cosines.argmax(dim=1)
        return torch.full((len(batch.embeddings),), -1, device=batch.embeddings.device)

    def _empty(self) -> list[np.ndarray]:
        return [np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64), *(np.empty(0) for _ in self.scorers)]
