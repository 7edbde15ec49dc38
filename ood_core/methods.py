"""The methods' names, parameters and defaults. Free of torch, so that a caller's mistake is found at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class MCM:
    """Parameters of `mcm`. `temperature` divides the cosines: 1 in the paper, 0.01 also in use (METHODS.md §1)."""

    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be above 0, not {self.temperature}")


@dataclass(frozen=True)
class NegLabel:
    """Parameters of `neglabel`. `groups`: how many groups the negatives are split into (METHODS.md §3)."""

    groups: int = 100

    def __post_init__(self) -> None:
        if self.groups < 1:
            raise ValueError(f"groups must be at least 1, not {self.groups}")


Parameters = MCM | NegLabel
METHODS: Mapping[str, type[Parameters]] = MappingProxyType({"mcm": MCM, "neglabel": NegLabel})
NEEDS_NEGATIVES = frozenset({"neglabel"})


def score_column(method: str) -> str:
    """The column of a score table that holds the method's score."""
    return "score_" + method.replace("-", "_")
