"""The memory of a whole scan: a stateful Ray actor, or several that share its rows, around `MemoryBank`."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.memory import Bounds, Candidates, MemoryBank
from pipelines.memory_files import MemoryFiles, by_method

PUBLISH_EVERY_S, MOST_DELTAS, LONGEST_JOURNAL = 0.25, 16, 100_000


@dataclass(frozen=True)
class MemorySpec:
    """What a memory is, to whoever asks it: its actors' name, the capacities of its rows by method, over how many
    actors (`parts`) the rows are split, and which methods score against it as it stands (`streaming`)."""

    name: str
    files: MemoryFiles
    capacities: Mapping[str, np.ndarray]
    parts: int = 1
    streaming: frozenset[str] = frozenset()

    def banks(self) -> dict[str, MemoryBank]:
        """Empty ones."""
        return {name: MemoryBank(capacities, self.files.dim) for name, capacities in self.capacities.items()}

    def live_banks(self) -> dict[str, MemoryBank]:
        """Empty ones; of embeddings only where somebody scores against them."""
        dims = {name: self.files.dim if name in self.streaming else 0 for name in self.capacities}
        return {name: MemoryBank(capacities, dims[name]) for name, capacities in self.capacities.items()}


@dataclass(frozen=True)
class Heard:
    """Up to which version of which life of an actor somebody knows it. A life ends with its process."""

    life: str = ""
    version: int = 0


@dataclass(frozen=True)
class News:
    """What must be beaten to enter, of the rows where that has changed since."""

    heard: Heard
    bounds: Mapping[str, Bounds]


@dataclass(frozen=True)
class Publication:
    """A version of the memory in the object store: rows and embeddings by method, of the rows that have changed since
    the publication before; of all rows if `full`."""

    version: int
    full: bool
    content: Any


class Meters:
    """What an actor has done in its life, by method; also Ray metrics, `ray_oodscan_memory_<name>`, where Ray runs."""

    NAMES = ("calls", "offered", "entered", "bytes", "published", "published_bytes")

    def __init__(self) -> None:
        import ray
        from ray.util import metrics

        self.counted: dict[str, dict[str, int]] = {}
        self.exported = {
            name: metrics.Counter(f"oodscan_memory_{name}", f"{name} of a scan's memory", ("method",))
            for name in (self.NAMES if ray.is_initialized() else ())
        }

    def add(self, method: str, **amounts: int) -> None:
        counts = self.counted.setdefault(method, dict.fromkeys(self.NAMES, 0))
        for name, amount in amounts.items():
            counts[name] += amount
            if amount and name in self.exported:
                self.exported[name].inc(amount, {"method": method})


@dataclass
class Journal:
    """Which rows have changed, version by version."""

    changes: list[Mapping[str, set[int]]] = field(default_factory=list)
    forgotten: int = 0

    @property
    def version(self) -> int:
        return self.forgotten + len(self.changes)

    def add(self, changed: Mapping[str, set[int]]) -> None:
        self.changes.append(changed)
        if len(self.changes) > LONGEST_JOURNAL:
            half = LONGEST_JOURNAL // 2
            self.changes, self.forgotten = self.changes[half:], self.forgotten + half

    def since(self, version: int, method: str) -> set[int] | None:
        """The method's rows that have changed after the version; None if that is forgotten."""
        if version < self.forgotten:
            return None
        return set().union(*(changed.get(method, ()) for changed in self.changes[version - self.forgotten :]))


class MemoryActor:
    """Merges what workers offer, and tells them what it takes to enter. Whatever is called twice changes nothing.

    `live` holds all that was offered, for the workers; `durable` what the committed shards have offered, which a new
    actor finds in storage again. Both end with the same images: those that workers hold back can be in neither.
    """

    def __init__(
        self,
        spec: MemorySpec,
        part: int = 0,
        put: Callable[[Any], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec, self.part, self.put, self.clock = spec, part, put or _in_object_store, clock
        self.life, self.journal, self.meters = uuid.uuid4().hex, Journal(), Meters()
        self.durable, self.live = spec.banks(), spec.live_banks()
        self.shards = spec.files.rebuilt(self.durable, part, spec.parts)
        self._merge({name: bank.snapshot() for name, bank in self.durable.items()})
        self.publications: list[Publication] = []
        self.published_at = -np.inf

    def offer(self, offers: Mapping[str, Candidates], heard: Heard) -> News:
        """Merges a worker's offers; what has changed since the worker last heard of the memory."""
        entered = self._merge(offers)
        for name, candidates in offers.items():
            self.meters.add(name, calls=1, offered=len(candidates), entered=entered[name], bytes=_bytes(candidates))
        since = heard.version if heard.life == self.life else -1
        bounds = {name: bank.bounds(self.journal.since(since, name)) for name, bank in self.live.items()}
        return News(Heard(self.life, self.journal.version), bounds)

    def commit(self, shard: str, offered: pa.Table) -> None:
        """A shard's candidates are in storage: they are part of the memory for good."""
        if shard in self.shards:
            return
        memories = by_method(offered, self.durable, self.spec.files.dim)
        mine = {name: candidates.of_part(self.part, self.spec.parts) for name, candidates in memories.items()}
        for name, candidates in mine.items():
            self.durable[name].offer(candidates)
        self._merge(mine)
        self.shards.add(shard)

    def remembered(self) -> dict[str, Candidates]:
        """What the committed shards have offered, as far as it is kept."""
        return {name: bank.snapshot() for name, bank in self.durable.items()}

    def published(self, seen: Heard) -> tuple[Heard, list[Publication]]:
        """What somebody who has seen a version has to fetch to know the newest one that is published.

        There is a new one if something has changed, at most every `PUBLISH_EVERY_S`.
        """
        if self._published_version < self.journal.version and self.clock() - self.published_at >= PUBLISH_EVERY_S:
            self._publish()
        known = seen.version if seen.life == self.life else -1
        first = self.publications[0].version if self.publications else 0
        missing = [one for one in self.publications if known < first or one.version > known]
        return Heard(self.life, self._published_version), missing

    def counted(self) -> dict[str, Any]:
        """What this actor has done in its life, by method, and the seconds of CPU that its process has taken."""
        return {"methods": self.meters.counted, "cpu_s": time.process_time()}

    @property
    def _published_version(self) -> int:
        return self.publications[-1].version if self.publications else 0

    def _merge(self, offers: Mapping[str, Candidates]) -> dict[str, int]:
        """How many images of each method have entered."""
        entered = {name: self.live[name].offer(self._lived(name, candidates)) for name, candidates in offers.items()}
        if any(entered.values()):
            self.journal.add({name: set(rows) for name, rows in entered.items()})
        return {name: len(rows) for name, rows in entered.items()}

    def _lived(self, name: str, candidates: Candidates) -> Candidates:
        return candidates if name in self.spec.streaming else candidates.without_embeddings()

    def _publish(self) -> None:
        rows = {name: self.journal.since(self._published_version, name) for name in self.spec.streaming}
        full = not self.publications or len(self.publications) > MOST_DELTAS or None in rows.values()
        content = {}
        for name in rows:
            found = self.live[name].snapshot(None if full else rows[name])
            content[name] = (found.rows, found.embeddings)
            self.meters.add(name, published=1, published_bytes=found.rows.nbytes + found.embeddings.nbytes)
        one = Publication(self.journal.version, full, self.put(content))
        self.publications = [one] if full else [*self.publications, one]
        self.published_at = self.clock()


def _bytes(candidates: Candidates) -> int:
    return (
        candidates.rows.nbytes
        + candidates.priorities.nbytes
        + candidates.embeddings.nbytes
        + sum(map(len, candidates.keys))
    )


def _in_object_store(content: Any) -> Any:
    import ray

    return ray.put(content)
