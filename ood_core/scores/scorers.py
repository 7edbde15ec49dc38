"""SCORERS: from a method's name to what computes it, and the protocols that they keep."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float64
from torch import Tensor

from ood_core.memory import MemoryBank, Offers
from ood_core.scores.adaneg import AdaNegLearner, AdaNegScorer
from ood_core.scores.batch import ImageBatch, Labels
from ood_core.scores.debiased import DebiasedScorer
from ood_core.scores.gl_mcm import GLMCMScorer
from ood_core.scores.interneg import InterNegLearner, InterNegScorer
from ood_core.scores.mcm import MCMScorer
from ood_core.scores.neglabel import NegLabelScorer
from ood_core.scores.negrefine import NegRefineScorer


@runtime_checkable
class Scorer(Protocol):
    """What a method computes early, it computes when made; what comes with each block of images, when called.

    A scorer is made from the method's parameters (`ood_core.methods`) and the labels; one of LEARNERS also from what
    was learned, None being nothing. Called, it returns one score per image in float64, higher = more in-distribution,
    each row from its own image alone, and changes nothing it is given.
    """

    def __init__(self, parameters: Any, labels: Labels, /) -> None: ...

    def __call__(self, batch: ImageBatch) -> Float64[Tensor, " images"]: ...


@runtime_checkable
class Learner(Protocol):
    """What a method wants remembered of the images, before any is scored.

    `memory` makes an empty memory, `offers` are what a block's first images, `count` of them, offer it. One that
    `needs_verdicts` is first shown all images for their confident `verdicts` (true for ID), and told the share of ID.
    """

    needs_verdicts: bool

    def __init__(self, parameters: Any, labels: Labels, /) -> None: ...

    def memory(self) -> MemoryBank: ...

    def offers(self, batch: ImageBatch, count: int) -> Offers: ...

    def verdicts(self, batch: ImageBatch, count: int) -> list[bool]: ...

    def adapt(self, positive_fraction: float) -> None: ...


SCORERS: Mapping[str, type[Scorer]] = MappingProxyType(
    {
        "mcm": MCMScorer,
        "gl-mcm": GLMCMScorer,
        "neglabel": NegLabelScorer,
        "negrefine": NegRefineScorer,
        "debiased": DebiasedScorer,
        "adaneg": AdaNegScorer,
        "interneg": InterNegScorer,
    }
)
LEARNERS: Mapping[str, type[Learner]] = MappingProxyType({"adaneg": AdaNegLearner, "interneg": InterNegLearner})
