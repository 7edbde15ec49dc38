"""SCORERS: from a method's name to what computes it, and the protocol that they keep."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from jaxtyping import Float64
from torch import Tensor

from ood_core.scores.batch import ImageBatch, Labels
from ood_core.scores.mcm import MCMScorer
from ood_core.scores.neglabel import NegLabelScorer


class Scorer(Protocol):
    """What a method computes early, it computes when made; what comes with each block of images, when called.

    A scorer is made from the method's parameters (`ood_core.methods`) and the labels. Called, it returns one score per
    image in float64, higher = more in-distribution, each row from its own image alone, and changes nothing it is given.
    """

    def __init__(self, parameters: Any, labels: Labels, /) -> None: ...

    def __call__(self, batch: ImageBatch) -> Float64[Tensor, " images"]: ...


SCORERS: Mapping[str, type[Scorer]] = MappingProxyType({"mcm": MCMScorer, "neglabel": NegLabelScorer})
