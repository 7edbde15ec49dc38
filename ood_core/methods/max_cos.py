"""Parameters of the largest cosine, known as MaxLogit (ICML 2022, arXiv 1911.11132; METHODS.md §1a). Free of torch."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ood_core.methods.method import ImageMethod

if TYPE_CHECKING:
    from ood_core.memory import Candidates
    from ood_core.scores.batch import Labels
    from ood_core.scores.scorer import Scorer


@dataclass(frozen=True)
class MaxCos(ImageMethod):
    """`max-cos` has no parameters."""

    needs_negatives = False

    @property
    def score_range(self) -> tuple[float, float]:
        """None: cosines of images to texts use so little of -1 to 1 that consensus takes them as they are."""
        return -math.inf, math.inf

    def scorer(self, labels: "Labels", learned: "Candidates | None" = None) -> "Scorer":  # noqa: ARG002
        from ood_core.scores.max_cos import MaxCosScorer

        return MaxCosScorer()
