"""Parameters of TANL (CVPR 2026, arXiv 2603.25250; METHODS.md §11). Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ood_core.methods.method import ImageMethod, Method, at_least, at_most

if TYPE_CHECKING:
    from ood_core.scores.batch import Labels
    from ood_core.scores.scorer import Scorer


@dataclass(frozen=True)
class TANL(ImageMethod):
    """Parameters of `tanl` (METHODS.md §11): which labels of the corpus are negatives, the images themselves say.

    `labels_kept` is β, how many corpus labels are chosen. `step` is γ: an image is scored against the first γ of them,
    the first 2γ and so on; 0: against all at once. `gap` is g: how far from the threshold a confident score is.
    Transductive order only: `rounds`. Sequential order only: `memory_length` L, `score_window` W, `alpha` α (how much
    the batches before count), `batch_size`, and the `seed` of the shuffles that the queues start with.
    """

    needs_negatives = True
    needs_corpus = True

    order: Literal["transductive", "sequential"] = "transductive"
    labels_kept: int = 1000
    step: int = 1
    gap: float = 0.5
    rounds: int = 2
    memory_length: int = 300
    score_window: int = 20_000
    alpha: float = 0.0
    batch_size: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(1, labels_kept=self.labels_kept, rounds=self.rounds, memory_length=self.memory_length)
        at_least(1, score_window=self.score_window, batch_size=self.batch_size)
        at_least(0, step=self.step, gap=self.gap, alpha=self.alpha, seed=self.seed)
        at_most(1, gap=self.gap, alpha=self.alpha)

    @property
    def learning_order(self) -> Literal["transductive", "sequential"]:
        return self.order

    @property
    def sequential(self) -> bool:
        return self.order == "sequential"

    @property
    def passes(self) -> int:
        """How often all images are looked at before any is scored, in transductive order: twice a round."""
        return 2 * self.rounds

    @property
    def needs_noise(self) -> bool:
        return True

    @property
    def score_range(self) -> tuple[float, float]:
        return 0.0, 1.0

    def scorer(self, labels: "Labels", learned: Any = None) -> "Scorer":
        """What scores images against the chosen labels: their rows among the bank's corpus labels, best first.

        Raises ValueError if nothing has been learned, which leaves nothing to score against.
        """
        from ood_core.scores.tanl import TANLScorer

        if not labels.negative_count:
            raise ValueError("the label bank has no negative labels, which this method needs")
        if learned is None:
            raise ValueError("tanl has not learned which labels to score against")
        return TANLScorer(labels, learned, self.step)


def choosers_of(methods: Mapping[str, Method]) -> dict[str, TANL]:
    """The methods that look at all images in rounds, before any is scored, to find out which labels to score by."""
    return {name: chosen for name, chosen in methods.items() if isinstance(chosen, TANL) and not chosen.sequential}
