"""Parameters of NegRefine (ICCV 2025, arXiv 2507.09795; METHODS.md §5). Free of torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ood_core.methods.method import ImageMethod, at_least

if TYPE_CHECKING:
    from ood_core.memory import Candidates
    from ood_core.scores.batch import Labels
    from ood_core.scores.scorer import Scorer


@dataclass(frozen=True)
class NegRefine(ImageMethod):
    """Parameters of `negrefine`. `alpha`: weight of multi-matching over `top_k` ID and negative labels (§5)."""

    needs_negatives = True

    groups: int = 100
    alpha: float = 2.0
    top_k: int = 5

    def __post_init__(self) -> None:
        at_least(1, groups=self.groups, top_k=self.top_k)
        at_least(0, alpha=self.alpha)

    @property
    def needs_texts(self) -> bool:
        return True

    @property
    def score_range(self) -> tuple[float, float]:
        return 0.0, 1 + self.alpha

    def scorer(self, labels: "Labels", learned: "Candidates | None" = None) -> "Scorer":  # noqa: ARG002
        from ood_core.scores.negrefine import NegRefineScorer

        return NegRefineScorer(labels, self.groups, self.alpha, self.top_k)
