"""Parameters of debiased negative mining (DNM, KDD 2026; METHODS.md §6). Free of torch."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ood_core.methods.method import ImageMethod, above, at_least, at_most

if TYPE_CHECKING:
    from ood_core.memory import Candidates
    from ood_core.scores.batch import Labels
    from ood_core.scores.scorer import Scorer


@dataclass(frozen=True)
class Debiased(ImageMethod):
    """Parameters of `debiased`. `true_negative_fraction`: π, the assumed fraction of true negatives (§6)."""

    needs_negatives = True
    falls_below_range = True

    groups: int = 100
    true_negative_fraction: float = 0.5

    def __post_init__(self) -> None:
        at_least(1, groups=self.groups)
        above(0, true_negative_fraction=self.true_negative_fraction)
        at_most(1, true_negative_fraction=self.true_negative_fraction)

    @property
    def score_range(self) -> tuple[float, float]:
        """From 0 with no end: the normaliser may be less than the ID labels' mass. Scores below 0 count as 0."""
        return 0.0, math.inf

    def scorer(self, labels: "Labels", learned: "Candidates | None" = None) -> "Scorer":  # noqa: ARG002
        from ood_core.scores.debiased import DebiasedScorer

        return DebiasedScorer(labels, self.groups, self.true_negative_fraction)
