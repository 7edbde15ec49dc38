"""Notices an image whose decoding does not end: threads that are in C code cannot be interrupted."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

TICKS = 20
"""Parts of the limit that are counted, not timed: a process that is stopped for a while counts none meanwhile."""


class Place(NamedTuple):
    """An image: the id of its shard, and its index there."""

    shard: str
    index: int


class DecodeWatch:
    """Calls `too_slow` with the place of an image whose decoding takes longer than `limit_s`."""

    def __init__(self, limit_s: float, too_slow: Callable[[Place], None]) -> None:
        self.limit_s, self.too_slow = limit_s, too_slow
        self.running: dict[Place, int] = {}
        self.lock = threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    @contextmanager
    def over(self, place: Place) -> Iterator[None]:
        """Watches for as long as the image is decoded."""
        with self.lock:
            self.running[place] = 0
        try:
            yield
        finally:
            with self.lock:
                del self.running[place]

    def _watch(self) -> None:
        while True:
            time.sleep(self.limit_s / TICKS)
            with self.lock:
                self.running = {place: ticks + 1 for place, ticks in self.running.items()}
                slow = [place for place, ticks in self.running.items() if ticks > TICKS]
            for place in slow:
                self.too_slow(place)
