"""What workers leave to those that take their place: shards that they have died over, images that take too long."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from pipelines.scans.workers.decode_watch import Place

MOST_DEATHS = 3

Found = TypeVar("Found")


class Attempts:
    """A Ray actor without CPUs that knows the shards that workers have begun and not ended."""

    def __init__(self) -> None:
        self.begun: set[str] = set()
        self.deaths: Counter[str] = Counter()
        self.slow: set[Place] = set()

    def died_over(self, shards: Sequence[str]) -> list[int]:
        """How many workers have died over each of these shards, which a worker has been handed.

        Whoever had begun with one and not left it has died: Ray hands a range to another only then.
        """
        died = self.begun.intersection(shards)
        self.deaths.update(died)
        self.begun -= died
        return [self.deaths[shard] for shard in shards]

    def begin(self, shards: Sequence[str]) -> None:
        """Notes that a worker begins with these shards: not while they wait for others to be done."""
        self.begun.update(shards)

    def leave(self, shards: Sequence[str]) -> None:
        """Notes that a worker is through with these shards."""
        self.begun.difference_update(shards)

    def too_slow(self, place: Place, shards: Sequence[str]) -> None:
        """Notes an image that takes too long to decode; its worker, which had begun these shards, ends for it.

        They are not to blame for that death.
        """
        self.slow.add(place)
        self.leave(shards)

    def slow_in(self, shards: Sequence[str]) -> list[Place]:
        """The images of these shards that take too long to decode."""
        return [place for place in self.slow if place.shard in shards]


class Turns:
    """Lets calls of one worker run together, or one alone."""

    def __init__(self) -> None:
        self.running, self.changed = 0, threading.Condition()

    @contextmanager
    def together(self) -> Iterator[None]:
        """While others run that are together too."""
        with self.changed:
            self.running += 1
        try:
            yield
        finally:
            with self.changed:
                self.running -= 1
                self.changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While nobody else runs."""
        with self.changed:
            self.changed.wait_for(lambda: not self.running)
            yield


def one_by_one(
    attempts: Any,
    ask: Callable[[Any], Any],
    shards: Sequence[Any],
    work: Callable[[Any], Found],
    give_up: Callable[[Any], Found],
) -> list[Found]:
    """What `work` makes of each shard, or `give_up` of one that too many workers have died over.

    Each is worked on by itself, so that the shard that a worker dies over is the one that is to blame.
    """
    found = []
    for shard in shards:
        (deaths,) = ask(attempts.died_over.remote([shard.id]))
        ask(attempts.begin.remote([shard.id]))
        found.append(give_up(shard) if deaths >= MOST_DEATHS else work(shard))
        ask(attempts.leave.remote([shard.id]))
    return found
