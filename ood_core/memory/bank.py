"""A mergeable bounded top-k per row (METHODS.md §7 and §8). Free of torch: whoever merges need not import it."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int


@dataclass(frozen=True)
class Candidates:
    """Images that are offered to a memory or held by it: row, priority (lowest first), key and embedding of each."""

    rows: Int[np.ndarray, " images"]
    priorities: Float64[np.ndarray, " images"]
    keys: Sequence[str]
    embeddings: Float[np.ndarray, "images dim"]

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def none(cls, dim: int) -> "Candidates":
        return cls(np.empty(0, np.int64), np.empty(0), [], np.empty((0, dim), np.float32))

    def take(self, chosen: Int[np.ndarray, " chosen"]) -> "Candidates":
        """The candidates at the given places."""
        keys = list(map(self.keys.__getitem__, chosen.tolist()))
        return Candidates(self.rows[chosen], self.priorities[chosen], keys, self.embeddings[chosen])

    def of_rows(self, first: int, end: int) -> "Candidates":
        """The candidates for the rows from `first` to before `end`."""
        return self.take(np.flatnonzero((self.rows >= first) & (self.rows < end)))

    def of_part(self, part: int, parts: int) -> "Candidates":
        """The candidates for the rows of one part of a memory that is split by row into `parts`."""
        return self if parts == 1 else self.take(np.flatnonzero(self.rows % parts == part))

    def without_embeddings(self) -> "Candidates":
        """The candidates without embeddings, which is enough to tell which could enter a memory."""
        return Candidates(self.rows, self.priorities, self.keys, np.empty((len(self), 0), np.float32))


@dataclass(frozen=True)
class Offers:
    """Images that a method wants remembered: place among those given, row, priority and embedding of each."""

    places: Int[np.ndarray, " images"]
    rows: Int[np.ndarray, " images"]
    priorities: Float64[np.ndarray, " images"]
    embeddings: Float[np.ndarray, "images dim"]

    def named(self, keys: Sequence[str]) -> Candidates:
        """The candidates, once images have keys. `keys`: of all the images given."""
        named = list(map(keys.__getitem__, self.places.tolist()))
        return Candidates(self.rows, self.priorities, named, self.embeddings)

    def take(self, chosen: Int[np.ndarray, " chosen"]) -> "Offers":
        """The offers at the given places of this list."""
        return Offers(self.places[chosen], self.rows[chosen], self.priorities[chosen], self.embeddings[chosen])

    @classmethod
    def none(cls, dim: int) -> "Offers":
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty((0, dim), np.float32))

    @classmethod
    def together(cls, parts: "Sequence[Offers]", sizes: Sequence[int]) -> "Offers":
        """Joins the offers of successive lists of images, of `sizes` images each, into those of one list."""
        starts = np.cumsum([0, *sizes[:-1]]).tolist()
        return cls(
            np.concatenate([part.places + start for part, start in zip(parts, starts, strict=True)]),
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.priorities for part in parts]),
            np.concatenate([part.embeddings for part in parts]),
        )


@dataclass(frozen=True)
class Bounds:
    """What it takes to enter full rows of a memory: the priority of each row's last image must not be exceeded.

    `keys`: of the last image, in rows where others had the same priority; there keys decide.
    """

    rows: Int[np.ndarray, " rows"]
    priorities: Float64[np.ndarray, " rows"]
    keys: Mapping[int, str]


@dataclass(frozen=True, order=True)
class _Image:
    """Ordered by priority, then key; the embedding's bytes decide only what would otherwise be chance."""

    priority: float
    key: str
    embedding: bytes


class MemoryBank:
    """A memory: each row keeps the images of lowest priority that it was offered, as many as its capacity.

    Ties break by key. `merge` is associative, commutative and idempotent: an image, that is a priority, a key and an
    embedding, counts once in a row. So the content depends on what was offered, and not on the order, the repeats or
    who merged what first. Keys alone may repeat: shards often number their images anew.
    """

    def __init__(self, capacities: Int[np.ndarray, " rows"], dim: int) -> None:
        self.capacities, self.dim = capacities, dim
        self.worst = np.where(capacities > 0, np.inf, -np.inf)
        """Each row's priority that an image must not exceed to enter; inf while there is room."""
        self._rows: dict[int, list[_Image]] = {}
        self._tied: set[int] = set()

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def offer(self, candidates: Candidates) -> list[int]:
        """Offers images to the memory; returns the row of each that entered.

        Raises ValueError for a priority that is not a number.
        """
        if np.isnan(candidates.priorities).any():
            raise ValueError("a priority is not a number")
        embeddings = np.ascontiguousarray(candidates.embeddings, dtype=np.float32)
        entered = []
        for index in np.flatnonzero(candidates.priorities <= self.worst[candidates.rows]).tolist():
            priority = float(candidates.priorities[index])
            image = _Image(priority, candidates.keys[index], embeddings[index].tobytes())
            if self._enter(int(candidates.rows[index]), image):
                entered.append(int(candidates.rows[index]))
        return entered

    def merge(self, other: "MemoryBank") -> None:
        self.offer(other.snapshot())

    def snapshot(self, rows: Iterable[int] | None = None) -> Candidates:
        """The remembered images, all or those of some rows; by row, then priority, then key."""
        chosen = self._rows if rows is None else self._rows.keys() & set(rows)
        ordered = [(row, image) for row in sorted(chosen) for image in self._rows[row]]
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

    def bounds(self, rows: Int[np.ndarray, " rows"] | None = None) -> Bounds:
        """What must be beaten to enter the rows that are full; all of them, or those among some rows."""
        chosen = np.arange(len(self.capacities)) if rows is None else rows
        full = chosen[np.isfinite(self.worst[chosen])]
        tied = sorted(self._tied) if rows is None else [row for row in full.tolist() if row in self._tied]
        return Bounds(full, self.worst[full], {row: self._rows[row][-1].key for row in tied})

    def _enter(self, row: int, image: _Image) -> bool:
        images, capacity = self._rows.setdefault(row, []), int(self.capacities[row])
        place = bisect_left(images, image)
        if images[place : place + 1] == [image]:
            return False
        images.insert(place, image)
        if len(images) > capacity and images.pop().priority == images[-1].priority:
            self._tied.add(row)
        if len(images) == capacity:
            self.worst[row] = images[-1].priority
        return place < capacity
