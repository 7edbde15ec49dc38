"""Parameters of NegLabel (ICLR 2024, arXiv 2403.20078; METHODS.md §3). Free of torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ood_core.methods.method import ImageMethod, at_least

if TYPE_CHECKING:
    from ood_core.memory import Candidates
    from ood_core.scores.batch import Labels
    from ood_core.scores.scorer import Scorer


@dataclass(frozen=True)
class NegLabel(ImageMethod):
    """Parameters of `neglabel`. `groups`: how many groups the negatives are split into (METHODS.md §3)."""

    needs_negatives = True

    groups: int = 100

    def __post_init__(self) -> None:
        at_least(1, groups=self.groups)

    @property
    def score_range(self) -> tuple[float, float]:
        return 0.0, 1.0

    def scorer(self, labels: "Labels", learned: "Candidates | None" = None) -> "Scorer":  # noqa: ARG002
        from ood_core.scores.neglabel import NegLabelScorer

        return NegLabelScorer(labels, self.groups)
