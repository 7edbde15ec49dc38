"""What a method is made of: the protocols of scorers and of learners, and the functions that they are given."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Float64
from torch import Tensor

from ood_core.memory import Candidates, MemoryBank, Offers
from ood_core.scores.batch import ImageBatch

Batches = Callable[[], Iterator[tuple[ImageBatch, Sequence[str]]]]
"""Goes over all images in blocks, each with the keys of its real images, which come before the padding."""

Invert = Callable[[Float[Tensor, "images dim"], Sequence[str]], Float[Tensor, "images dim"]]
"""Image embeddings, with their keys, to unit text embeddings that say what is in the image."""


@runtime_checkable
class Scorer(Protocol):
    """Scores blocks of images; what can be computed before the first block is computed when the scorer is made.

    Called, it returns one score per image in float64, higher = more in-distribution, each row from its own image alone
    and equal to the last bit whatever stands beside it, and changes nothing that it is given.
    """

    def __call__(self, batch: ImageBatch) -> Float64[Tensor, " images"]: ...


@runtime_checkable
class Learner(Protocol):
    """Picks the images that a method wants remembered, before any is scored."""

    def memory(self) -> MemoryBank:
        """An empty memory."""
        ...

    def offers(self, batch: ImageBatch, count: int) -> Offers:
        """What a block's first images, `count` of them, offer the memory."""
        ...

    def verdicts(self, batch: ImageBatch, count: int) -> list[bool]:
        """The confident verdicts on a block's first `count` images, true for ID; for a method that `adapts`."""
        ...

    def adapt(self, positive_fraction: float) -> None:
        """Takes note of the share of ID among the confident verdicts; for a method that `adapts`."""
        ...

    def conclude(self, memory: Candidates, invert: Invert | None) -> Candidates:
        """What the scorer is given, from what was remembered.

        Raises ValueError if images are to be turned into words and there is no `invert`.
        """
        ...


@runtime_checkable
class SequentialScorer(Protocol):
    """Learns from a batch of images and then scores it, batch after batch, in the papers' order."""

    def __call__(self, embeddings: Float[Tensor, "images dim"], keys: Sequence[str]) -> Float64[Tensor, " images"]: ...
