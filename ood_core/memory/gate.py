"""Gate: holds back the images that cannot enter a memory, so that workers offer less (METHODS.md §7). Free of torch."""

import numpy as np
from jaxtyping import Int

from ood_core.memory.bank import Bounds, Candidates


class Gate:
    """A worker's view of a memory: each row's last image, as far as it has heard.

    An image is held back only if as many others as its row holds are better, each of them an image that the memory was
    offered or that stands beside it. So none of the best of all images is ever held back, however late the news.
    """

    def __init__(self, capacities: Int[np.ndarray, " rows"]) -> None:
        self.capacities = capacities
        self._worst = np.where(capacities > 0, np.inf, -np.inf)
        self._keys: dict[int, str] = {}

    def hear(self, bounds: Bounds) -> None:
        """Takes note of bounds that the memory has sent. A row's bound only ever falls, so old ones change nothing."""
        fallen = bounds.priorities < self._worst[bounds.rows]
        self._worst[bounds.rows[fallen]] = bounds.priorities[fallen]
        for row in self._keys.keys() & set(bounds.rows[fallen].tolist()):
            del self._keys[row]
        known = dict(zip(bounds.rows.tolist(), bounds.priorities.tolist(), strict=True)) if bounds.keys else {}
        for row, key in bounds.keys.items():
            if known[row] == self._worst[row] and key < self._keys.get(row, key + "\0"):
                self._keys[row] = key

    def passing(self, candidates: Candidates) -> Int[np.ndarray, " passing"]:
        """Places of the candidates that could enter: they beat their row's last image, and are among its best here."""
        could = np.flatnonzero(candidates.priorities <= self._worst[candidates.rows]).tolist()
        rows, priorities, keys = candidates.rows.tolist(), candidates.priorities.tolist(), candidates.keys
        kept: list[int] = []
        best: dict[int, set[tuple[float, str]]] = {}
        for place in sorted(could, key=lambda place: (rows[place], priorities[place], keys[place])):
            row, image = rows[place], (priorities[place], keys[place])
            if image[0] == self._worst[row] and image[1] > self._keys.get(row, image[1]):
                continue
            of_row = best.setdefault(row, set())
            if len(of_row) < self.capacities[row]:
                of_row.add(image)
            if image in of_row:
                kept.append(place)
        return np.array(sorted(kept), np.int64)
