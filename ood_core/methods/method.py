"""Base classes of the methods: what a method needs and can do stands on the class of its parameters. Free of torch."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Int

if TYPE_CHECKING:
    from ood_core.encoders import ClipEncoder
    from ood_core.memory import Candidates
    from ood_core.scores.batch import Labels
    from ood_core.scores.scorer import Batches, Invert, Learner, Scorer, SequentialScorer

Order = Literal["transductive", "streaming", "sequential"]
"""How a method that learns from the images goes over them (METHODS.md §7): learn from all, then score all; score each
against what has been learned so far; or the papers' batch by batch in one process."""


@dataclass(frozen=True)
class Method(ABC):
    """Parameters of a method that `--method` can name: a frozen dataclass whose fields `--param` can set."""

    needs_negatives: ClassVar[bool]
    """Whether the label bank must have negative labels."""
    needs_local_features: ClassVar[bool] = False
    """Whether the image encoder must give features of every place of an image."""

    @property
    def needs_texts(self) -> bool:
        """Whether scoring needs embeddings of texts that are not in the label bank, so a text encoder."""
        return False

    @property
    def needs_noise(self) -> bool:
        """Whether what the image encoder makes of pure noise must be known, so an image encoder."""
        return False

    @property
    def inverts(self) -> bool:
        """Whether images are turned into words, which takes a text tower that accepts pseudo-tokens."""
        return False

    @property
    def learning_order(self) -> Order | None:
        """The order in which the method goes over the images to learn from them; None if it learns nothing."""
        return None

    @property
    def sequential(self) -> bool:
        """Whether the method scores batch by batch in one process, as the papers do."""
        return False

    @property
    def adapts(self) -> bool:
        """Whether all images must be looked at once before the method can say which ones to remember."""
        return False

    def inverter(self, encoder: "ClipEncoder") -> "Invert":  # noqa: ARG002
        """What turns images into words with a model's text tower. Raises ModelError if the model cannot."""
        raise TypeError(f"{type(self).__name__} turns no images into words")


class ImageMethod(Method):
    """A method that scores one image at a time; every method but consensus, the reference and verdicts."""

    needs_corpus: ClassVar[bool] = False
    """Whether the label bank's negatives must be the whole corpus, with nothing selected."""
    falls_below_range: ClassVar[bool] = False
    """Whether scores below the lowest of `score_range` occur, in which case they count as the lowest."""

    @property
    @abstractmethod
    def score_range(self) -> tuple[float, float]:
        """The lowest and the highest score that an image can have; `-math.inf` or `math.inf` where there is none."""

    @abstractmethod
    def scorer(self, labels: "Labels", learned: Any = None) -> "Scorer":
        """What scores images against these labels, see `ood_core.scores.scorer.Scorer`; imports torch only here.

        `learned`: what a method that learns has learned, in most cases images (`Candidates`), None being nothing; other
        methods ignore it. Raises ValueError if the labels lack what the method needs.
        """


class LearningMethod(ImageMethod):
    """A method whose scores depend on the other images: it remembers some of them. `batch_size`: in sequential order.

    The memory has rows, each of which keeps a bounded number of images (`ood_core.memory.MemoryBank`).
    """

    order: Order
    batch_size: int
    first_label_row: ClassVar[int]
    """The row of the memory that belongs to the bank's first label; the other labels' rows follow it."""
    remembers_negatives: ClassVar[bool]
    """Whether negative labels have rows in the memory, behind those of the ID labels."""

    @property
    def sequential(self) -> bool:
        return self.order == "sequential"

    @property
    @abstractmethod
    def memory_parameters(self) -> dict[str, float | int]:
        """Names and values of what decides which images are remembered: memories that differ in it do not merge."""

    @abstractmethod
    def capacities(self, labels: int, id_labels: int, has_class_images: bool) -> Int[np.ndarray, " rows"]:
        """How many images each row of the memory keeps at most.

        `labels`: how many labels the bank has in all; `has_class_images`: whether it has image embeddings of the ID
        labels.
        """

    @abstractmethod
    def learner(self, labels: "Labels") -> "Learner":
        """What picks the images to remember, see `ood_core.scores.scorer.Learner`."""

    @abstractmethod
    def sequential_scorer(self, labels: "Labels", batches: "Batches", invert: "Invert | None") -> "SequentialScorer":
        """What scores successive batches in the papers' order. `batches` goes over all images, as often as called.

        Raises ValueError if the method turns images into words and there is no `invert`.
        """

    def to_invert(self, memory: "Candidates") -> "Candidates":
        """The remembered images that are to be turned into words."""
        return memory.of_rows(0, 0)


def score_column(method: str) -> str:
    """The column of a score table that holds the method's score."""
    return "score_" + method.replace("-", "_")


def of_images(methods: Mapping[str, Method]) -> dict[str, ImageMethod]:
    """The methods that score images; left out are those that go by the scores of another, see `bases_of`."""
    return {name: chosen for name, chosen in methods.items() if isinstance(chosen, ImageMethod)}


def learners_of(methods: Mapping[str, Method], order: Order = "transductive") -> dict[str, LearningMethod]:
    """The methods that learn from the images in the given order."""
    return {
        name: chosen
        for name, chosen in methods.items()
        if isinstance(chosen, LearningMethod) and chosen.learning_order == order
    }


def above(limit: int, **values: float | int) -> None:
    """Raises ValueError, naming the value, for one that is not finite and above the limit."""
    for name, value in values.items():
        if not limit < value < math.inf:
            raise ValueError(f"{name} must be above {limit}, not {value}")


def at_least(limit: int, **values: float | int) -> None:
    """Raises ValueError, naming the value, for one that is not finite and at least the limit."""
    for name, value in values.items():
        if not limit <= value < math.inf:
            raise ValueError(f"{name} must be at least {limit}, not {value}")


def at_most(limit: int, **values: float | int) -> None:
    """Raises ValueError, naming the value, for one that is not at most the limit."""
    for name, value in values.items():
        if not value <= limit:
            raise ValueError(f"{name} must be at most {limit}, not {value}")
