"""Parameters of InterNeg (CVPR 2026, arXiv 2603.02618; METHODS.md §8). Free of torch."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from ood_core.methods.method import LearningMethod, Order, above, at_least

if TYPE_CHECKING:
    from ood_core.encoders import ClipEncoder
    from ood_core.memory import Candidates
    from ood_core.scores.batch import Labels
    from ood_core.scores.interneg import InterNegLearner
    from ood_core.scores.scorer import Batches, Invert, Scorer, SequentialScorer

PROXY_IMAGES = 16
"""Images that stand for an ID label where the bank has none of its own; the paper labels as many."""


@dataclass(frozen=True)
class InterNeg(LearningMethod):
    """Parameters of `interneg` (METHODS.md §8). Images that score below `invert_below` (β) are turned into words.

    The `max_inversions` lowest of them are inverted, and the best `extra_negatives` join the negatives; none with 0.
    `batch_size` matters in sequential order only.
    """

    needs_negatives = True
    first_label_row = 1
    remembers_negatives = False

    groups: int = 5
    invert_below: float = 0.35
    extra_negatives: int = 2000
    max_inversions: int = 8000
    steps: int = 10
    learning_rate: float = 0.02
    order: Order = "transductive"
    batch_size: int = 256

    def __post_init__(self) -> None:
        at_least(1, groups=self.groups, steps=self.steps, batch_size=self.batch_size)
        at_least(0, invert_below=self.invert_below, extra_negatives=self.extra_negatives)
        at_least(0, max_inversions=self.max_inversions)
        above(0, learning_rate=self.learning_rate)

    @property
    def inverts(self) -> bool:
        return min(self.extra_negatives, self.max_inversions, self.invert_below) > 0

    @property
    def learning_order(self) -> Order | None:
        return self.order if self.inverts else None

    @property
    def score_range(self) -> tuple[float, float]:
        return 0.0, 1.0

    @property
    def memory_parameters(self) -> dict[str, float | int]:
        return {name: getattr(self, name) for name in ("groups", "invert_below", "max_inversions")}

    def capacities(self, labels: int, id_labels: int, has_class_images: bool) -> Int[np.ndarray, " rows"]:  # noqa: ARG002
        """Row 0 for the images to invert; then a row for each ID label, unless the bank has images of it."""
        to_invert = self.max_inversions if self.inverts else 0
        return np.array([to_invert] + [PROXY_IMAGES] * (0 if has_class_images else id_labels))

    def scorer(self, labels: "Labels", learned: "Candidates | None" = None) -> "Scorer":
        """NegLabel's score with the extra negatives of `learned` behind the bank's own."""
        from ood_core.scores.interneg import InterNegScorer

        return InterNegScorer(labels, self.groups, learned)

    def learner(self, labels: "Labels") -> "InterNegLearner":
        from ood_core.scores.interneg import InterNegLearner

        known = labels.image_proxies is not None
        capacities = self.capacities(len(labels.embeddings), labels.id_count, known)
        return InterNegLearner(labels, self.groups, capacities, self.invert_below, self.extra_negatives)

    def to_invert(self, memory: "Candidates") -> "Candidates":
        return memory.of_rows(0, self.first_label_row)

    def inverter(self, encoder: "ClipEncoder") -> "Invert":
        from ood_core.memory.inversion import Inverter

        return Inverter(encoder, self.steps, self.learning_rate)

    def sequential_scorer(self, labels: "Labels", batches: "Batches", invert: "Invert | None") -> "SequentialScorer":
        """Where the bank has no mean images of the ID labels, first looks for images of them everywhere."""
        from ood_core.scores.interneg import NO_INVERTER, SequentialInterNeg

        if self.inverts and invert is None:
            raise ValueError(NO_INVERTER)
        learner = replace(self, max_inversions=0).learner(labels)
        memory = learner.memory()
        if labels.image_proxies is None:
            for batch, keys in batches():
                memory.offer(learner.offers(batch, len(keys)).named(keys))
        labels = replace(labels, image_proxies=learner.proxies(memory.snapshot()))
        return SequentialInterNeg(
            labels,
            self.extra_negatives,
            invert,
            lambda extra: self.scorer(labels, extra),
            lambda inverted: replace(self, max_inversions=self.max_inversions - inverted).learner(labels),
        )
