"""The methods' names, parameters and defaults. Free of torch, so that a caller's mistake is found at once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Order = Literal["transductive", "streaming", "sequential"]
"""How a method that learns from the images goes over them (METHODS.md §7): learn from all, then score all; score each
against what has been learned so far; or the papers' batch by batch in one process."""


@dataclass(frozen=True)
class MCM:
    """Parameters of `mcm`. `temperature` divides the cosines: 1 in the paper, 0.01 also in use (METHODS.md §1)."""

    temperature: float = 1.0

    def __post_init__(self) -> None:
        _above(0, temperature=self.temperature)


@dataclass(frozen=True)
class GLMCM:
    """Parameters of `gl-mcm`. `local_weight`: λ, what the best place of the image counts (METHODS.md §2)."""

    temperature: float = 1.0
    local_weight: float = 1.0

    def __post_init__(self) -> None:
        _above(0, temperature=self.temperature)
        _at_least(0, local_weight=self.local_weight)


@dataclass(frozen=True)
class NegLabel:
    """Parameters of `neglabel`. `groups`: how many groups the negatives are split into (METHODS.md §3)."""

    groups: int = 100

    def __post_init__(self) -> None:
        _at_least(1, groups=self.groups)


@dataclass(frozen=True)
class NegRefine:
    """Parameters of `negrefine`. `alpha`: weight of multi-matching over `top_k` ID and negative labels (§5)."""

    groups: int = 100
    alpha: float = 2.0
    top_k: int = 5

    def __post_init__(self) -> None:
        _at_least(1, groups=self.groups, top_k=self.top_k)
        _at_least(0, alpha=self.alpha)


@dataclass(frozen=True)
class Debiased:
    """Parameters of `debiased`. `true_negative_fraction`: π, the assumed fraction of true negatives (§6)."""

    groups: int = 100
    true_negative_fraction: float = 0.5

    def __post_init__(self) -> None:
        _at_least(1, groups=self.groups)
        _above(0, true_negative_fraction=self.true_negative_fraction)
        _at_most(1, true_negative_fraction=self.true_negative_fraction)


@dataclass(frozen=True)
class AdaNeg:
    """Parameters of `adaneg` (METHODS.md §7). A row of the memory holds its text and `memory_length` - 1 images.

    `threshold` and `gap` are γ and g. `static_weight` is λ; None: 0.1, or 1 with the adaptive gap, as published.
    `batch_size` matters in sequential order only.
    """

    groups: int = 5
    memory_length: int = 10
    proxies: Literal["task", "sample"] = "task"
    beta: float = 5.0
    threshold: float = 0.5
    gap: float = 0.5
    static_weight: float | None = None
    adaptive_gap: bool = False
    order: Order = "transductive"
    batch_size: int = 256

    def __post_init__(self) -> None:
        _at_least(1, groups=self.groups, memory_length=self.memory_length, batch_size=self.batch_size)
        _at_least(0, beta=self.beta, threshold=self.threshold, gap=self.gap)
        _at_most(1, threshold=self.threshold, gap=self.gap)
        if self.static_weight is not None:
            _at_least(0, static_weight=self.static_weight)

    @property
    def weight_of_static(self) -> float:
        return self.static_weight if self.static_weight is not None else 1.0 if self.adaptive_gap else 0.1


@dataclass(frozen=True)
class InterNeg:
    """Parameters of `interneg` (METHODS.md §8). Images that score below `invert_below` (β) are turned into words.

    The `max_inversions` lowest of them are inverted, and the best `extra_negatives` join the negatives; none with 0.
    `batch_size` matters in sequential order only.
    """

    groups: int = 5
    invert_below: float = 0.35
    extra_negatives: int = 2000
    max_inversions: int = 8000
    steps: int = 10
    learning_rate: float = 0.02
    order: Order = "transductive"
    batch_size: int = 256

    def __post_init__(self) -> None:
        _at_least(1, groups=self.groups, steps=self.steps, batch_size=self.batch_size)
        _at_least(0, invert_below=self.invert_below, extra_negatives=self.extra_negatives)
        _at_least(0, max_inversions=self.max_inversions)
        _above(0, learning_rate=self.learning_rate)

    @property
    def inverts(self) -> bool:
        return min(self.extra_negatives, self.max_inversions, self.invert_below) > 0


@dataclass(frozen=True)
class Consensus:
    """Parameters of `consensus` (METHODS.md §10), which smooths the scores of `base`, another method.

    One anchor for `images_per_anchor` images, `max_anchors` at most. An image votes on its `nearest` anchors, with the
    softmax of `sharpness` times its cosines. `caution` (κ): how readily neighbours are distrusted; 0: not at all.
    `reach`: how many standard deviations farther from its anchor than its neighbours an image may be before they no
    longer raise its score, so that a stray among images that belong stays what it is; None: METHODS.md's own weights.
    """

    base: str = "neglabel"
    images_per_anchor: int = 15
    max_anchors: int = 65_536
    nearest: int = 5
    sharpness: float = 20.0
    caution: float = 0.25
    reach: float | None = 3.0
    rounds: int = 4

    def __post_init__(self) -> None:
        if self.base not in METHODS or self.base == "consensus":
            raise ValueError(f"base must be another method, not {self.base!r}")
        _at_least(1, images_per_anchor=self.images_per_anchor, nearest=self.nearest, rounds=self.rounds)
        _at_least(MIN_ANCHORS, max_anchors=self.max_anchors)
        _at_least(0, sharpness=self.sharpness, caution=self.caution)
        if self.reach is not None:
            _above(0, reach=self.reach)


MIN_ANCHORS = 16
Parameters = MCM | GLMCM | NegLabel | NegRefine | Debiased | AdaNeg | InterNeg | Consensus
METHODS: Mapping[str, type[Parameters]] = MappingProxyType(
    {
        "mcm": MCM,
        "gl-mcm": GLMCM,
        "neglabel": NegLabel,
        "negrefine": NegRefine,
        "debiased": Debiased,
        "adaneg": AdaNeg,
        "interneg": InterNeg,
        "consensus": Consensus,
    }
)
NEEDS_NEGATIVES = frozenset({"neglabel", "negrefine", "debiased", "adaneg", "interneg"})
NEEDS_LOCAL_FEATURES = frozenset({"gl-mcm"})
LEARNS = frozenset({"adaneg", "interneg"})
"""Methods whose scores depend on the other images: they go over the input first, or in order."""


def of_images(methods: Mapping[str, Parameters]) -> dict[str, Parameters]:
    """Those that score images, and not what others have scored, as `consensus` does."""
    return {name: chosen for name, chosen in methods.items() if not isinstance(chosen, Consensus)}


def consensus_of(methods: Mapping[str, Parameters]) -> Consensus | None:
    """The parameters of consensus, if it was asked for."""
    return next((chosen for chosen in methods.values() if isinstance(chosen, Consensus)), None)


def needs_texts(parameters: Parameters) -> bool:
    """Whether a text encoder is needed beyond the label bank's embeddings."""
    return isinstance(parameters, NegRefine) or (isinstance(parameters, InterNeg) and parameters.inverts)


def order_of(parameters: Parameters) -> Order | None:
    """In which order the method goes over the images; None if it learns nothing from them."""
    if isinstance(parameters, AdaNeg):
        return parameters.order
    return parameters.order if isinstance(parameters, InterNeg) and parameters.inverts else None


def memory_parameters(parameters: Parameters) -> dict[str, float | int]:
    """Those that decide which images a method remembers: memories that differ in them do not merge."""
    names = {
        AdaNeg: ("groups", "memory_length", "threshold", "gap", "adaptive_gap"),
        InterNeg: ("groups", "invert_below", "max_inversions"),
    }
    return {name: getattr(parameters, name) for name in names.get(type(parameters), ())}


def is_sequential(parameters: Parameters) -> bool:
    """Whether the method goes over the images in the papers' order, batch by batch."""
    return isinstance(parameters, AdaNeg | InterNeg) and parameters.order == "sequential"


def score_column(method: str) -> str:
    """The column of a score table that holds the method's score."""
    return "score_" + method.replace("-", "_")


def _above(limit: int, **values: float | int) -> None:
    for name, value in values.items():
        if not limit < value < math.inf:
            raise ValueError(f"{name} must be above {limit}, not {value}")


def _at_least(limit: int, **values: float | int) -> None:
    for name, value in values.items():
        if not limit <= value < math.inf:
            raise ValueError(f"{name} must be at least {limit}, not {value}")


def _at_most(limit: int, **values: float | int) -> None:
    for name, value in values.items():
        if not value <= limit:
            raise ValueError(f"{name} must be at most {limit}, not {value}")
