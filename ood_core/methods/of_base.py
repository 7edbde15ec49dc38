"""The methods that change the scores of another, and nothing else. Free of torch."""

from dataclasses import dataclass

from ood_core.methods.method import Method
from ood_core.methods.table import check_base


@dataclass(frozen=True)
class OfBase(Method):
    """Parameters of a method that changes the standardised scores of `base`, another method; None: the first one asked
    for that learns nothing from the images."""

    needs_negatives = False

    base: str | None = None

    def __post_init__(self) -> None:
        if self.base is not None:
            check_base(self.base)
