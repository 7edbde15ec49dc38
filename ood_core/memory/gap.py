"""AdaGap: how sure a verdict must be before an image is remembered (AdaNeg, arXiv 2410.20149; METHODS.md §7)."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

MOST_VERDICTS, STARTING_VERDICTS = 10_000, 100


@dataclass(frozen=True)
class Thresholds:
    """Scores above which an image is remembered as ID (`positive`) and below which as OOD (`negative`)."""

    positive: float
    negative: float

    @classmethod
    def fixed(cls, threshold: float, gap: float) -> "Thresholds":
        return cls(threshold + gap * (1.0 - threshold), threshold - gap * threshold)

    @classmethod
    def adapted(cls, threshold: float, gap: float, positive_fraction: float) -> "Thresholds":
        """Thresholds moved by the share of ID among confident verdicts: the rarer side must be more certain."""
        fixed, r = cls.fixed(threshold, gap), positive_fraction
        if r > 0.5:
            return cls(fixed.positive, threshold - r * threshold)
        if r < 0.5:
            return cls(threshold + (1.0 - r) * (1.0 - threshold), fixed.negative)
        return fixed


@dataclass
class RecentVerdicts:
    """A window of the last confident verdicts, true for ID; it starts with as many of either kind."""

    verdicts: deque[bool] = field(
        default_factory=lambda: deque([True, False] * STARTING_VERDICTS, maxlen=MOST_VERDICTS)
    )

    def add(self, verdicts: Iterable[bool]) -> None:
        self.verdicts.extend(verdicts)

    @property
    def positive_fraction(self) -> float:
        return sum(self.verdicts) / len(self.verdicts)
