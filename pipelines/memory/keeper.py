"""The driver's end of a scan's memory: starts the actors, tells them what is committed, writes snapshots."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ood_core.labels import LabelBank
from ood_core.methods import LearningMethod, learners_of
from pipelines.inputs.plan import Shard
from pipelines.memory.actor import MemorySpec
from pipelines.memory.client import CommitToMemory, MemoryClient, RayActors
from pipelines.memory.files import Memories, MemoryFiles

SHARDS_A_SNAPSHOT = 500
"""A snapshot is written whenever so many more shards are committed, so that a rerun reads fewer files."""


@dataclass
class Keeper:
    """Keeps the actors and what is stored of the memory in step with the shards that are committed.

    `learners`: the methods whose memory it is; `shards`: those whose candidates the memory holds.
    """

    client: MemoryClient
    learners: Mapping[str, LearningMethod]
    shards: set[str] = field(default_factory=set)
    _compacted: int = 0

    @property
    def spec(self) -> MemorySpec:
        return self.client.spec

    @property
    def files(self) -> MemoryFiles:
        return self.spec.files

    @property
    def remember(self) -> CommitToMemory:
        """What workers call with the candidates of the shards that they commit."""
        return CommitToMemory(self.spec)

    def begin(self, again: Iterable[Shard] = ()) -> None:
        """Starts the actors, which read what is stored.

        `again`: shards that are gone over once more. In streaming order it depends on the moment what they offer, so
        what they offered before they were cut short is forgotten; else they offer the same again, as far as it is kept.
        """
        if self.spec.streaming:
            self.files.forget(shard.id for shard in again)
        self.client.counted()
        self.shards = self.files.shards()
        self._compacted = len(self.shards)

    def heard(self, receipts: pa.Table) -> None:
        """Notes the shards that workers have committed, and whose candidates they have told the actors.

        In streaming order no snapshot is written before the end: what an actor holds already of a shard that is
        not committed yet would stay in it.
        """
        self.shards.update(receipts["shard"].to_pylist())
        if len(self.shards) - self._compacted >= SHARDS_A_SNAPSHOT and not self.spec.streaming:
            self.compact()

    def compact(self) -> Memories:
        """Writes a snapshot of all that is committed, and returns what is in it."""
        self._compacted = len(self.shards)
        memories = self.client.remembered()
        self.files.put_snapshot(memories, self.shards)
        return memories

    def ended(self, images: int) -> dict[str, Any]:
        """To be called when the encode step has ended. In streaming order that is all: writes the last snapshot.

        Returns the actors' work in that case, for the summary.
        """
        if not self.spec.streaming:
            return {}
        self.compact()
        return self.cost(images)

    def cost(self, images: int) -> dict[str, Any]:
        """The actors' work for the summary: counts by method, and CPU time. `images`: how many were gone over."""
        actors = self.client.counted()
        totals: dict[str, dict[str, float]] = {}
        for actor in actors:
            for name, counts in actor["methods"].items():
                total = totals.setdefault(name, dict.fromkeys(counts, 0))
                for what, count in counts.items():
                    total[what] += count
        cpu_s = sum(actor["cpu_s"] for actor in actors)
        return {"memory": {"images": images, "actors": len(actors), "actors_cpu_s": cpu_s, **totals}}


@contextmanager
def memory_keeper(
    files: MemoryFiles, learners: Mapping[str, LearningMethod], bank: LabelBank, parts: int
) -> Iterator[Keeper]:
    """A keeper of the memory of these methods, whose actors end with it. `parts`: how many actors share the rows."""
    known = bank.image_embeddings is not None
    capacities = {name: chosen.capacities(len(bank.texts), bank.id_count, known) for name, chosen in learners.items()}
    streaming = frozenset(learners_of(learners, "streaming"))
    spec = MemorySpec(f"oodscan-memory-{uuid.uuid4().hex}", files, capacities, parts, streaming)
    actors = RayActors(spec)
    try:
        yield Keeper(MemoryClient(spec, actors), learners)
    finally:
        actors.close()
