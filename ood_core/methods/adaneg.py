"""Parameters of AdaNeg (NeurIPS 2024, arXiv 2410.20149; METHODS.md §7). Free of torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Int

from ood_core.methods.method import LearningMethod, Order, at_least, at_most

if TYPE_CHECKING:
    from ood_core.memory import Candidates
    from ood_core.scores.adaneg import AdaNegLearner
    from ood_core.scores.batch import Labels
    from ood_core.scores.scorer import Batches, Invert, Scorer, SequentialScorer


@dataclass(frozen=True)
class AdaNeg(LearningMethod):
    """Parameters of `adaneg` (METHODS.md §7). A row of the memory holds its text and `memory_length` - 1 images.

    `threshold` and `gap` are γ and g. `static_weight` is λ; None: 0.1, or 1 with the adaptive gap, as published.
    `batch_size` matters in sequential order only.
    """

    needs_negatives = True
    first_label_row = 0
    remembers_negatives = True

    groups: int = 5
    memory_length: int = 10
    proxies: Literal["task", "sample"] = "task"
    beta: float = 5.0
    threshold: float = 0.5
    gap: float = 0.5
    static_weight: float | None = None
    adaptive_gap: bool = False
    order: Order = "transductive"
    batch_size: int = 256

    def __post_init__(self) -> None:
        at_least(1, groups=self.groups, memory_length=self.memory_length, batch_size=self.batch_size)
        at_least(0, beta=self.beta, threshold=self.threshold, gap=self.gap)
        at_most(1, threshold=self.threshold, gap=self.gap)
        if self.static_weight is not None:
            at_least(0, static_weight=self.static_weight)

    @property
    def weight_of_static(self) -> float:
        """λ: how much the score without the memory counts."""
        return self.static_weight if self.static_weight is not None else 1.0 if self.adaptive_gap else 0.1

    @property
    def learning_order(self) -> Order:
        return self.order

    @property
    def adapts(self) -> bool:
        return self.adaptive_gap

    @property
    def score_range(self) -> tuple[float, float]:
        return 0.0, 1 + self.weight_of_static

    @property
    def memory_parameters(self) -> dict[str, float | int]:
        names = "groups", "memory_length", "threshold", "gap", "adaptive_gap"
        return {name: getattr(self, name) for name in names}

    def capacities(self, labels: int, id_labels: int, has_class_images: bool) -> Int[np.ndarray, " labels"]:  # noqa: ARG002
        """A row for each label, ID labels first; the label's text takes one place of the row's length."""
        return np.full(labels, self.memory_length - 1)

    def scorer(self, labels: "Labels", learned: "Candidates | None" = None) -> "Scorer":
        from ood_core.scores.adaneg import AdaNegScorer

        groups, weight = self.groups, self.weight_of_static
        return AdaNegScorer(labels, learned, groups, weight, self.beta if self.proxies == "sample" else None)

    def learner(self, labels: "Labels") -> "AdaNegLearner":
        from ood_core.scores.adaneg import AdaNegLearner

        return AdaNegLearner(
            labels, self.groups, self.memory_length - 1, self.threshold, self.gap, adaptive_gap=self.adaptive_gap
        )

    def sequential_scorer(self, labels: "Labels", batches: "Batches", invert: "Invert | None") -> "SequentialScorer":  # noqa: ARG002
        from ood_core.scores.adaneg import SequentialAdaNeg

        return SequentialAdaNeg(labels, self.learner(labels), lambda learned: self.scorer(labels, learned))
