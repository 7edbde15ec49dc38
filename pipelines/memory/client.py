"""A client of a scan's memory, for workers and the driver: offers images, hears what it takes to enter, sees rows."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from ood_core.memory import Candidates, Gate, Offers
from pipelines.memory.actor import Cursor, MemoryActor, MemorySpec
from pipelines.memory.files import Memories

Answer = Callable[[], Any]
"""Waits for an actor's answer, and returns it."""

TRIES = 5


class Actors(Protocol):
    """The actors that hold a memory, as a client calls them."""

    def ask(self, part: int, method: str, *arguments: Any) -> Answer:
        """Calls a method of the actor of a part, and returns at once what waits for the answer."""
        ...

    def fetch(self, published: Any) -> Any:
        """What an actor has published, None if it has died with the actor."""
        ...


class RayActors:
    """The memory's actors in a Ray cluster, found by name and started by whoever asks first.

    Ray starts one again whose process dies; one that is dead for good is replaced by whoever asks it next. Either way
    the new one reads what is stored.
    """

    def __init__(self, spec: MemorySpec) -> None:
        self.spec = spec
        self.handles: dict[int, Any] = {}

    def ask(self, part: int, method: str, *arguments: Any) -> Answer:
        asked = self._remote(part, method, arguments)

        def answer() -> Any:
            import ray
            from ray.exceptions import RayActorError

            waiting = asked
            for _ in range(TRIES):
                with contextlib.suppress(RayActorError):
                    return ray.get(waiting)
                self.handles.pop(part, None)
                waiting = self._remote(part, method, arguments)
            return ray.get(waiting)

        return answer

    def fetch(self, published: Any) -> Any:
        import ray
        from ray.exceptions import ObjectLostError

        with contextlib.suppress(ObjectLostError):
            return ray.get(published)
        return None

    def close(self) -> None:
        """Ends the actors."""
        import ray

        for handle in self.handles.values():
            ray.kill(handle)
        self.handles = {}

    def _remote(self, part: int, method: str, arguments: tuple[Any, ...]) -> Any:
        if part not in self.handles:
            self.handles[part] = self._found(part)
        return getattr(self.handles[part], method).remote(*arguments)

    def _found(self, part: int) -> Any:
        import ray

        options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
        named = ray.remote(MemoryActor).options(name=f"{self.spec.name}-{part}", get_if_exists=True, **options)
        for attempt in range(TRIES):
            with contextlib.suppress(ValueError):  # one of that name is just dying
                return named.remote(self.spec, part)
            time.sleep(attempt / 2)
        return named.remote(self.spec, part)


class CommitToMemory:
    """Tells a memory's actors the candidates of a shard that are stored, and waits until all of them hold these."""

    def __init__(self, spec: MemorySpec, actors: Actors | None = None) -> None:
        self.spec, self.actors = spec, actors or RayActors(spec)

    def __call__(self, shard: str, offered: pa.Table) -> None:
        for answer in [self.actors.ask(part, "commit", shard, offered) for part in range(self.spec.parts)]:
            answer()


class MemoryClient:
    """Offers images to a memory, but none that cannot enter, and holds the rows that are scored against.

    `heard`: how far the client knows what it takes to enter; `seen`: how far it knows the rows (`views`).
    """

    def __init__(self, spec: MemorySpec, actors: Actors | None = None) -> None:
        self.spec = spec
        self.actors: Actors = actors or RayActors(spec)
        self.gates = {name: Gate(capacities) for name, capacities in spec.capacities.items()}
        self.heard = {part: Cursor() for part in range(spec.parts)}
        self.seen = dict(self.heard)
        self.views: dict[str, dict[int, np.ndarray]] = {name: {} for name in spec.streaming}
        self._waiting: list[tuple[int, Answer]] = []

    def offer(self, offers: Memories) -> dict[str, Candidates]:
        """Sends the candidates that could enter, by method, and returns them.

        Waits for the answers to earlier offers, not to this one: so a worker that is ahead of the actor waits for it.
        """
        self.settle()
        passing = {name: found.take(self.gates[name].passing(found)) for name, found in offers.items()}
        self._send(passing)
        return passing

    def offer_of(self, offers: Mapping[str, Offers], keys: Sequence[str]) -> dict[str, Offers]:
        """As `offer`, for offers of images whose keys are given beside them."""
        self.settle()
        passing = {name: found.take(self.gates[name].passing(found.named(keys))) for name, found in offers.items()}
        self._send({name: found.named(keys) for name, found in passing.items()})
        return passing

    def settle(self) -> None:
        """Waits until all that was offered has been merged, and hears what it takes to enter now."""
        waiting, self._waiting = self._waiting, []
        for part, answer in waiting:
            news = answer()
            self.heard[part] = news.cursor
            for name, bounds in news.bounds.items():
                self.gates[name].hear(bounds)

    def refresh(self) -> bool:
        """Brings the views to the newest published version, and returns whether anything has changed."""
        self.settle()
        changed = [self._refresh(part) for part in self.seen]
        return any(changed)

    def _refresh(self, part: int) -> bool:
        for _ in range(TRIES):
            seen, publications = self.actors.ask(part, "published", self.seen[part])()
            contents = [self.actors.fetch(one.content) for one in publications]
            if None not in contents:
                for content in contents:
                    for name, (rows, embeddings) in content.items():
                        self._see(name, rows, embeddings)
                self.seen[part] = seen
                return bool(contents)
            self.seen[part] = Cursor()
        raise RuntimeError(f"the memory's actor {part} has died {TRIES} times while it was asked")

    @property
    def version(self) -> int:
        """The version of the views; it grows while no actor has to start again."""
        return sum(seen.version for seen in self.seen.values())

    def view(self, name: str) -> Candidates:
        """A method's rows as they stand, without priorities and keys."""
        rows = sorted(self.views[name])
        if not rows:
            return Candidates.none(self.spec.files.dim)
        images = [self.views[name][row] for row in rows]
        counts = [len(found) for found in images]
        embeddings = np.concatenate(images)
        return Candidates(np.repeat(rows, counts), np.zeros(len(embeddings)), [""] * len(embeddings), embeddings)

    def remembered(self) -> dict[str, Candidates]:
        """What is remembered of the committed shards, by method; sorted by row, priority and key."""
        banks = self.spec.banks()
        for answer in [self.actors.ask(part, "remembered") for part in range(self.spec.parts)]:
            for name, candidates in answer().items():
                banks[name].offer(candidates)
        return {name: bank.snapshot() for name, bank in banks.items()}

    def counted(self) -> list[dict[str, Any]]:
        """Counts of each actor's work (`MemoryActor.counted`)."""
        return [answer() for answer in [self.actors.ask(part, "counted") for part in range(self.spec.parts)]]

    def _send(self, offers: Memories) -> None:
        named = {name: self._sent(name, found) for name, found in offers.items()}
        for part in range(self.spec.parts):
            mine = {name: candidates.of_part(part, self.spec.parts) for name, candidates in named.items()}
            mine = {name: candidates for name, candidates in mine.items() if len(candidates)}
            if mine:
                self._waiting.append((part, self.actors.ask(part, "offer", mine, self.heard[part])))

    def _sent(self, name: str, candidates: Candidates) -> Candidates:
        return candidates if name in self.spec.streaming else candidates.without_embeddings()

    def _see(self, name: str, rows: np.ndarray, embeddings: np.ndarray) -> None:
        if not len(rows):
            return
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        for row, images in zip(rows[starts].tolist(), np.split(embeddings, starts[1:]), strict=True):
            self.views[name][row] = images
