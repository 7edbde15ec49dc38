"""A mergeable bounded top-k per row (METHODS.md §7 and §8). Free of torch: whoever merges need not import it."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int


@dataclass(frozen=True)
class Candidates:
    """Images for rows of a memory: for each its row, priority (lowest first), key and embedding."""

    rows: Int[np.ndarray, " images"]
    priorities: Float64[np.ndarray, " images"]
    keys: Sequence[str]
    embeddings: Float[np.ndarray, "images dim"]

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def none(cls, dim: int) -> "Candidates":
        return cls(np.empty(0, np.int64), np.empty(0), [], np.empty((0, dim), np.float32))

    def of_rows(self, first: int, end: int) -> "Candidates":
        """Those of the rows from `first` to before `end`."""
        chosen = np.flatnonzero((self.rows >= first) & (self.rows < end))
        keys = [self.keys[index] for index in chosen.tolist()]
        return Candidates(self.rows[chosen], self.priorities[chosen], keys, self.embeddings[chosen])


@dataclass(frozen=True, order=True)
class _Image:
    """Ordered by priority, then key; the embedding's bytes decide only what would otherwise be chance."""

    priority: float
    key: str
    embedding: bytes


class MemoryBank:
    """Each row keeps the images of lowest priority that it was offered, as many as its capacity.

    Ties break by key. `merge` is associative, commutative and idempotent: a key counts once in a row, with its lowest
    priority. So the content depends on what was offered, and not on the order, the repeats or who merged what first.
    """

    def __init__(self, capacities: Int[np.ndarray, " rows"], dim: int) -> None:
        self.capacities, self.dim = capacities, dim
        self.worst = np.where(capacities > 0, np.inf, -np.inf)
        """Each row's priority that an image must not exceed to enter; inf while there is room."""
        self._rows: dict[int, list[_Image]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def offer(self, candidates: Candidates) -> None:
        """Raises ValueError for a priority that is not a number."""
        if np.isnan(candidates.priorities).any():
            raise ValueError("a priority is not a number")
        embeddings = np.ascontiguousarray(candidates.embeddings, dtype=np.float32)
        for index in np.flatnonzero(candidates.priorities <= self.worst[candidates.rows]).tolist():
            priority = float(candidates.priorities[index])
            image = _Image(priority, candidates.keys[index], embeddings[index].tobytes())
            self._enter(int(candidates.rows[index]), image)

    def merge(self, other: "MemoryBank") -> None:
        self.offer(other.snapshot())

    def snapshot(self) -> Candidates:
        """All that is remembered, by row, then priority, then key."""
        ordered = [(row, image) for row in sorted(self._rows) for image in self._rows[row]]
        if not ordered:
            return Candidates.none(self.dim)
        return Candidates(
            rows=np.array([row for row, _ in ordered], np.int64),
            priorities=np.array([image.priority for _, image in ordered]),
            keys=[image.key for _, image in ordered],
            embeddings=np.frombuffer(b"".join(image.embedding for _, image in ordered), np.float32).reshape(
                len(ordered), self.dim
            ),
        )

    def _enter(self, row: int, image: _Image) -> None:
        images = self._rows.setdefault(row, [])
        same = next((other for other in images if other.key == image.key), None)
        if same is not None:
            if same <= image:
                return
            del images[bisect_left(images, same)]
        insort(images, image)
        del images[self.capacities[row] :]
        if len(images) == self.capacities[row]:
            self.worst[row] = images[-1].priority
