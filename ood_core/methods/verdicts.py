"""Parameters of verdicts: what somebody has said of a few images (METHODS.md §10d). Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from ood_core.methods.method import Method
from ood_core.methods.of_base import OfBase


@dataclass(frozen=True)
class Verdicts(OfBase):
    """Parameters of `verdicts`, which moves the scores of images by what was said of images like them.

    `base`: the method whose standardised scores are moved, by two standard deviations at most; None: the first one
    asked for that learns nothing from the images. Images vote on anchors as the parameters of consensus have it.
    """


def verdicts_of(methods: Mapping[str, Method]) -> Verdicts | None:
    """The parameters of verdicts, if their method was asked for."""
    return next((chosen for chosen in methods.values() if isinstance(chosen, Verdicts)), None)
