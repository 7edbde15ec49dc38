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
    """How to reach a scan's memory, and what it holds.

    `name`: of its actors; `capacities`: of its rows, by method; `parts`: how many actors share the rows; `streaming`:
    the methods that score against it as it stands.
    """

    name: str
    files: MemoryFiles
    capacities: Mapping[str, np.ndarray]
    parts: int = 1
    streaming: frozenset[str] = frozenset()

    def banks(self) -> dict[str, MemoryBank]:
        """Empty memories of each method."""
        return {name: MemoryBank(capacities, self.files.dim) for name, capacities in self.capacities.items()}

    def live_banks(self) -> dict[str, MemoryBank]:
        """Empty memories that keep embeddings only where somebody scores against them."""
        dims = {name: self.files.dim if name in self.streaming else 0 for name in self.capacities}
        return {name: MemoryBank(capacities, dims[name]) for name, capacities in self.capacities.items()}


@dataclass(frozen=True)
class Cursor:
    """A client's position in an actor's history: how far it has heard.

    `incarnation` is the actor's id from one start of its process to the next; `version` counts its changes since.
    """

    incarnation: str = ""
    version: int = 0


@dataclass(frozen=True)
class News:
    """An actor's answer to an offer: what an image must beat to enter, of the rows where that has changed.

    `cursor`: the client's new position.
    """

    cursor: Cursor
    bounds: Mapping[str, Bounds]


@dataclass(frozen=True)
class Publication:
    """A version of the memory in Ray's object store, for those who score against it.

    `content`: rows and embeddings by method, of the rows that have changed since the publication before, or of all
    rows if `full`. `images`: how many embeddings that is.
    """

    version: int
    full: bool
    images: int
    content: Any


class Meters:
    """Counts of an actor's work by method; exported as Ray metrics `ray_oodscan_memory_<name>` where Ray runs."""

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
    """Which rows have changed since a version of the memory."""

    def __init__(self, capacities: Mapping[str, np.ndarray]) -> None:
        self.version = 0
        self._changed = {name: np.zeros(len(rows), np.int64) for name, rows in capacities.items()}

    def add(self, changed: Mapping[str, Sequence[int]]) -> None:
        """Begins the next version, in which these rows of each method have changed."""
        self.version += 1
        for name, rows in changed.items():
            self._changed[name][np.array(rows, np.int64)] = self.version

    def since(self, version: int) -> dict[str, np.ndarray]:
        """The rows of each method that have changed after the version."""
        return {name: np.flatnonzero(changed > version) for name, changed in self._changed.items()}


class MemoryActor:
    """Merges what workers offer, and tells them what it takes to enter. A call that is repeated changes nothing.

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
        self.incarnation, self.journal, self.meters = uuid.uuid4().hex, Journal(spec.capacities), Meters()
        self.durable, self.live = spec.banks(), spec.live_banks()
        self.shards = spec.files.rebuilt(self.durable, part, spec.parts)
        self._merge({name: bank.snapshot() for name, bank in self.durable.items()})
        self.publications: list[Publication] = []
        self.published_at = -np.inf

    def offer(self, offers: Mapping[str, Candidates], cursor: Cursor) -> News:
        """Merges a worker's offers, and returns what has changed since the worker last heard of the memory."""
        entered = self._merge(offers)
        for name, candidates in offers.items():
            self.meters.add(name, calls=1, offered=len(candidates), entered=entered[name], bytes=_bytes(candidates))
        rows = self.journal.since(cursor.version if cursor.incarnation == self.incarnation else 0)
        bounds = {name: bank.bounds(rows[name]) for name, bank in self.live.items()}
        return News(Cursor(self.incarnation, self.journal.version), bounds)

    def commit(self, shard: str, offered: pa.Table) -> None:
        """Takes a shard's candidates into the memory for good, once they are in storage."""
        if shard in self.shards:
            return
        memories = by_method(offered, self.durable, self.spec.files.dim)
        mine = {name: candidates.of_part(self.part, self.spec.parts) for name, candidates in memories.items()}
        for name, candidates in mine.items():
            self.durable[name].offer(candidates)
        self._merge(mine)
        self.shards.add(shard)

    def remembered(self) -> dict[str, Candidates]:
        """What is remembered of the committed shards, by method."""
        return {name: bank.snapshot() for name, bank in self.durable.items()}

    def published(self, seen: Cursor) -> tuple[Cursor, list[Publication]]:
        """The newest published version, and what a client that has seen an earlier one has to fetch to know it.

        A new version is published if something has changed, at most every `PUBLISH_EVERY_S`.
        """
        if self._published_version < self.journal.version and self.clock() - self.published_at >= PUBLISH_EVERY_S:
            self._publish()
        known = seen.version if seen.incarnation == self.incarnation else -1
        first = self.publications[0].version if self.publications else 0
        missing = [one for one in self.publications if known < first or one.version > known]
        return Cursor(self.incarnation, self._published_version), missing

    def counted(self) -> dict[str, Any]:
        """Counts of this actor's work by method (`Meters`), and the CPU seconds that it took."""
        return {"methods": self.meters.counted, "cpu_s": time.process_time() - self.started_s}

    @property
    def _published_version(self) -> int:
        return self.publications[-1].version if self.publications else 0

    def _merge(self, offers: Mapping[str, Candidates]) -> dict[str, int]:
        """Takes offers into the live memory, and returns how many images of each method have entered."""
        entered = {name: self.live[name].offer(self._as_kept(name, candidates)) for name, candidates in offers.items()}
        if any(entered.values()):
            self.journal.add(entered)
        return {name: len(rows) for name, rows in entered.items()}

    def _as_kept(self, name: str, candidates: Candidates) -> Candidates:
        return candidates if name in self.spec.streaming else candidates.without_embeddings()

    def _publish(self) -> None:
        """Puts what has changed into the object store; or everything, once that is no more to fetch."""
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
