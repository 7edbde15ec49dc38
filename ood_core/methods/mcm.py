"""Parameters of MCM (NeurIPS 2022, arXiv 2211.13445; METHODS.md §1). Free of torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ood_core.methods.method import ImageMethod, above

if TYPE_CHECKING:
    from ood_core.memory import Candidates
    from ood_core.scores.batch import Labels
    from ood_core.scores.scorer import Scorer


@dataclass(frozen=True)
class MCM(ImageMethod):
    """Parameters of `mcm`. `temperature` divides the cosines: 1 in the paper, 0.01 also in use (METHODS.md §1)."""

    needs_negatives = False

    temperature: float = 1.0

    def __post_init__(self) -> None:
        above(0, temperature=self.temperature)

    @property
    def score_range(self) -> tuple[float, float]:
        return 0.0, 1.0

    def scorer(self, labels: "Labels", learned: "Candidates | None" = None) -> "Scorer":  # noqa: ARG002
        from ood_core.scores.mcm import MCMScorer

        return MCMScorer(self.temperature)
