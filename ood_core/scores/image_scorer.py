"""ImageScorer: scores of embeddings by several methods, from one multiplication with the labels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ood_core.labels import LabelBank
from ood_core.memory import Candidates
from ood_core.methods.method import ImageMethod
from ood_core.scores.batch import EncodeWords, ImageBatch, Labels, image_batches


@dataclass(frozen=True)
class ImageScores:
    """Scores and nearest labels of images.

    Per image the nearest ID label and its softmax probability among the ID labels at the bank's temperature, the
    nearest negative label (-1 where the bank has none), and by method a float64 score, higher = more in-distribution.
    """

    id_label: np.ndarray
    id_probability: np.ndarray
    negative_label: np.ndarray
    scores: Mapping[str, np.ndarray]

    @classmethod
    def together(cls, parts: "Sequence[ImageScores]") -> "ImageScores":
        """Joins the scores of successive lists of images, at least one."""
        return cls(
            np.concatenate([part.id_label for part in parts]),
            np.concatenate([part.id_probability for part in parts]),
            np.concatenate([part.negative_label for part in parts]),
            {name: np.concatenate([part.scores[name] for part in parts]) for name in parts[0].scores},
        )

    def of(self, start: int, end: int) -> "ImageScores":
        """The scores of the images from `start` to before `end`."""
        return ImageScores(
            self.id_label[start:end],
            self.id_probability[start:end],
            self.negative_label[start:end],
            {name: values[start:end] for name, values in self.scores.items()},
        )


class ImageScorer:
    """Scores embeddings by several methods at once. A row's result does not depend on what is scored beside it.

    `encode` is the text encoder, for the methods that need one; `learned` what the methods that learn have learned.
    """

    def __init__(
        self,
        bank: LabelBank,
        methods: Mapping[str, ImageMethod],
        device: str = "cpu",
        encode: EncodeWords | None = None,
        learned: Mapping[str, Any] | None = None,
    ) -> None:
        self.labels = Labels.of(bank, device, encode)
        self.scorers = {name: chosen.scorer(self.labels, (learned or {}).get(name)) for name, chosen in methods.items()}

    def __call__(
        self, embeddings: Float[Tensor, "images dim"], local: Float[Tensor, "images places dim"] | None = None
    ) -> ImageScores:
        return self.scores(image_batches(embeddings, self.labels, local))

    def learn(self, name: str, chosen: ImageMethod, learned: Candidates) -> None:
        """Replaces a method's scorer by one that knows what was learned."""
        self.scorers[name] = chosen.scorer(self.labels, learned)

    @torch.inference_mode()
    def scores(self, batches: Iterable[tuple[ImageBatch, int]]) -> ImageScores:
        """Scores of blocks of images, each with its count of real images before the padding."""
        parts = [self._score(batch, count) for batch, count in batches]
        columns = [torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)] or self._empty()
        id_label, id_probability, negative_label, *scores = columns
        return ImageScores(id_label, id_probability, negative_label, dict(zip(self.scorers, scores, strict=True)))

    def _score(self, batch: ImageBatch, count: int) -> list[Tensor]:
        # The nearest label's own term is 1, so the sum of the terms is the inverse of its probability.
        probability = 1.0 / batch.id_exponentials.terms.sum(dim=1).double()
        columns = [batch.id_label, probability, self._negative_label(batch)]
        columns += [scorer(batch) for scorer in self.scorers.values()]
        return [column[:count] for column in columns]

    def _negative_label(self, batch: ImageBatch) -> Tensor:
        """Each image's nearest negative by its place among the bank's; -1 where there are none."""
        if not self.labels.negative_count:
            return torch.full((len(batch.embeddings),), -1, device=self.labels.device)
        return self.labels.indices[batch.nearest_negative] - self.labels.id_count

    def _empty(self) -> list[np.ndarray]:
        return [np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64), *(np.empty(0) for _ in self.scorers)]
