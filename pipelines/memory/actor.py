"""The memory of a whole scan: a stateful Ray actor, or several that share its rows, around `MemoryBank`."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.memory import Bounds, Candidates, MemoryBank
from pipelines.memory.files import MemoryFiles, by_method

PUBLISH_EVERY_S = 0.5


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
    the publication before; of all rows if `full`. `images`: how many embeddings that is."""

    version: int
    full: bool
    images: int
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


class Journal:
    """At which version each row has last changed."""

    def __init__(self, capacities: Mapping[str, np.ndarray]) -> None:
        self.version = 0
        self._changed = {name: np.zeros(len(rows), np.int64) for name, rows in capacities.items()}

    def add(self, changed: Mapping[str, Sequence[int]]) -> None:
        """The next version."""
        self.version += 1
        for name, rows in changed.items():
            self._changed[name][np.array(rows, np.int64)] = self.version

    def since(self, version: int) -> dict[str, np.ndarray]:
        """By method, the rows that have changed after the version."""
        return {name: np.flatnonzero(changed > version) for name, changed in self._changed.items()}


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
        self.started_s = time.process_time()
        self.spec, self.part, self.put, self.clock = spec, part, put or _in_object_store, clock
        self.life, self.journal, self.meters = uuid.uuid4().hex, Journal(spec.capacities), Meters()
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
        rows = self.journal.since(heard.version if heard.life == self.life else 0)
        bounds = {name: bank.bounds(rows[name]) for name, bank in self.live.items()}
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
        """What this actor has done in its life, by method, and the seconds of CPU that has taken."""
        return {"methods": self.meters.counted, "cpu_s": time.process_time() - self.started_s}

    @property
    def _published_version(self) -> int:
        return self.publications[-1].version if self.publications else 0

    def _merge(self, offers: Mapping[str, Candidates]) -> dict[str, int]:
        """How many images of each method have entered."""
        entered = {name: self.live[name].offer(self._lived(name, candidates)) for name, candidates in offers.items()}
        if any(entered.values()):
            self.journal.add(entered)
        return {name: len(rows) for name, rows in entered.items()}

    def _lived(self, name: str, candidates: Candidates) -> Candidates:
        return candidates if name in self.spec.streaming else candidates.without_embeddings()

    def _publish(self) -> None:
        """What has changed; or everything, once that is no more than what would have to be fetched else."""
        changed = self.journal.since(self._published_version)
        content = {name: self.live[name].snapshot(changed[name].tolist()) for name in self.spec.streaming}
        images = sum(map(len, content.values()))
        full = images + sum(one.images for one in self.publications[1:]) >= sum(map(len, self.live.values()))
        if full:
            content = {name: self.live[name].snapshot() for name in content}
            images = sum(map(len, content.values()))
        for name, found in content.items():
            self.meters.add(name, published=1, published_bytes=found.rows.nbytes + found.embeddings.nbytes)
        published = self.put({name: (found.rows, found.embeddings) for name, found in content.items()})
        one = Publication(self.journal.version, full, images, published)
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
