"""Parameters of GL-MCM (IJCV 2025, arXiv 2304.04521; METHODS.md §2). Free of torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ood_core.methods.method import ImageMethod, above, at_least

if TYPE_CHECKING:
    from ood_core.memory import Candidates
    from ood_core.scores.batch import Labels
    from ood_core.scores.scorer import Scorer


@dataclass(frozen=True)
class GLMCM(ImageMethod):
    """Parameters of `gl-mcm`. `local_weight`: λ, what the best place of the image counts (METHODS.md §2)."""

    needs_negatives = False
    needs_local_features = True

    temperature: float = 1.0
    local_weight: float = 1.0

    def __post_init__(self) -> None:
        above(0, temperature=self.temperature)
        at_least(0, local_weight=self.local_weight)

    @property
    def score_range(self) -> tuple[float, float]:
        return 0.0, 1 + self.local_weight

    def scorer(self, labels: "Labels", learned: "Candidates | None" = None) -> "Scorer":  # noqa: ARG002
        from ood_core.scores.gl_mcm import GLMCMScorer

        return GLMCMScorer(labels, self.temperature, self.local_weight)
