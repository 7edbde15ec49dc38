"""InterNeg: negatives found in the images themselves (CVPR 2026, arXiv 2603.02618; METHODS.md §8)."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from ood_core.labels.class_images import known_class_means
from ood_core.labels.interneg import margins
from ood_core.memory import Candidates, MemoryBank, Offers
from ood_core.memory.gap import Thresholds
from ood_core.numerics import BLOCK, Columns
from ood_core.scores.adaneg import entropies
from ood_core.scores.batch import ImageBatch, Labels, Similarities, image_batches
from ood_core.scores.scorer import Invert, Scorer

CONFIDENT = Thresholds.fixed(0.5, 0.5)
NO_INVERTER = "interneg needs a text encoder to invert images; max_inversions = 0 goes without"


class InterNegScorer:
    """Scores images by NegLabel, with the extra negatives of `learned` behind the bank's own."""

    def __init__(self, labels: Labels, groups: int, learned: Candidates | None = None) -> None:
        extra = learned.embeddings if learned is not None else np.empty((0, labels.dim), np.float32)
        self.extra = Columns(torch.from_numpy(extra.copy()).to(labels.embeddings))
        self.groups = labels.groups(groups, len(extra))

    def __call__(self, batch: ImageBatch) -> Float64[Tensor, " images"]:
        cosines = torch.cat([batch.cosines, self.extra.products(batch.embeddings)], dim=1)
        return 1.0 - Similarities(cosines, batch.id_count, batch.temperature).negative_mass(self.groups)


class InterNegLearner:
    """Which images join the memory: in row 0 those to turn into words, of the lowest static score.

    Where the bank has no mean image of its ID labels, row 1 + i remembers images that are surely of ID label i.
    `capacities`: how many images each row keeps. An image is turned into words if it scores below `invert_below` (β);
    the best words, `most_extra` of them, become negatives.
    """

    def __init__(
        self,
        labels: Labels,
        groups: int,
        capacities: Int[np.ndarray, " rows"],
        invert_below: float,
        most_extra: int,
    ) -> None:
        self.labels, self.groups, self.capacities = labels, labels.groups(groups), capacities
        self.invert_below, self.most_extra = invert_below, most_extra

    def memory(self) -> MemoryBank:
        """An empty memory."""
        return MemoryBank(self.capacities, self.labels.dim)

    def offers(self, batch: ImageBatch, count: int) -> Offers:
        """The low-scoring ones of the first `count` images for row 0, the surely ID ones for their label's row."""
        scores = (1.0 - batch.negative_mass(self.groups))[:count]
        low = (scores < self.invert_below).nonzero()[:, 0]
        sure = (scores > CONFIDENT.positive).nonzero()[:, 0]
        if self.labels.image_proxies is not None:
            sure = sure[:0]
        chosen = torch.cat([low, sure])
        priorities = torch.cat([scores[low], entropies(batch.id_exponentials.terms[sure])])
        return Offers(
            places=chosen.cpu().numpy(),
            rows=torch.cat([torch.zeros_like(low), 1 + batch.id_label[sure]]).cpu().numpy(),
            priorities=priorities.cpu().numpy(),
            embeddings=batch.embeddings[chosen].cpu().numpy(),
        )

    def verdicts(self, batch: ImageBatch, count: int) -> list[bool]:  # noqa: ARG002
        """None: nothing adapts to them."""
        return []

    def adapt(self, positive_fraction: float) -> None:
        """Does nothing: the thresholds are fixed."""

    def proxies(self, memory: Candidates) -> Float[Tensor, "id_labels dim"]:
        """Each ID label's mean image: the bank's, or of the remembered images; zeros where there are none."""
        if self.labels.image_proxies is not None:
            return self.labels.image_proxies
        images = memory.of_rows(1, 1 + self.labels.id_count)
        means = known_class_means(images.embeddings, images.rows - 1, self.labels.id_count)
        return torch.from_numpy(means).to(self.labels.embeddings)

    def extra_negatives(self, memory: Candidates, invert: Invert) -> Candidates:
        """The inverted images that are farther from every ID label's mean image than the label itself, best first.

        Ordered, and where there are too many chosen, by their mean margin, largest first; the priority is its negative.
        ID labels without a mean image have no say.
        """
        asked, proxies = memory.of_rows(0, 1), self.proxies(memory)
        known = proxies.any(dim=1)
        bank = MemoryBank(np.array([self.most_extra]), self.labels.dim)
        if len(asked) and known.any():
            words = invert(torch.from_numpy(asked.embeddings.copy()).to(self.labels.embeddings), asked.keys)
            found = margins(words, self.labels.id[known], proxies[known])
            rows = np.where(found.survives, 0, -1)
            bank.offer(Candidates(rows, found.excess, asked.keys, words.cpu().numpy()).of_rows(0, 1))
        return bank.snapshot()

    def conclude(self, memory: Candidates, invert: Invert | None) -> Candidates:
        """The extra negatives, if images are to be inverted. Raises ValueError if they are, and `invert` is None."""
        if not self.capacities[0]:
            return Candidates.none(self.labels.dim)
        if invert is None:
            raise ValueError(NO_INVERTER)
        return self.extra_negatives(memory, invert)


class SequentialInterNeg:
    """The authors' own order: of each batch the low-scoring images are inverted, and the batch is scored with them.

    `labels` have mean images. At most `most_extra` extra negatives are kept. `scorer`: from the extra negatives to what
    scores; `learner`: from how many images are inverted already to what picks more.
    """

    def __init__(
        self,
        labels: Labels,
        most_extra: int,
        invert: Invert | None,
        scorer: Callable[[Candidates], Scorer],
        learner: Callable[[int], InterNegLearner],
    ) -> None:
        self.labels, self.invert, self.scorer, self.learner = labels, invert, scorer, learner
        self.extra = MemoryBank(np.array([most_extra]), labels.dim)
        self.inverted = 0

    def __call__(self, embeddings: Float[Tensor, "images dim"], keys: Sequence[str]) -> Float64[Tensor, " images"]:
        learner = self.learner(self.inverted)
        batches = list(image_batches(embeddings, self.labels))
        memory = learner.memory()
        for number, (batch, count) in enumerate(batches):
            memory.offer(learner.offers(batch, count).named(keys[number * BLOCK :]))
        if self.invert is not None:
            self.extra.offer(learner.extra_negatives(memory.snapshot(), self.invert))
        self.inverted += len(memory)
        scorer = self.scorer(self.extra.snapshot())
        return torch.cat([scorer(batch)[:count] for batch, count in batches])
