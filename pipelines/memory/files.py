"""A scan's memory in storage: the candidates of each shard, and snapshots that they come to."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as compute

from ood_core.memory import Candidates, MemoryBank
from ood_core.methods import learners_of
from ood_core.vectors import vector_column, vectors_of
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.inputs.listing import REQUESTS_AT_ONCE
from pipelines.inputs.plan import Shard
from pipelines.memory.orders import has_sequential, methods_with_memory
from pipelines.scan_directory.layout import (
    CANDIDATES,
    EXTRA_NEGATIVES,
    FINGERPRINT_KEY,
    INITIAL,
    MEMORY,
    SNAPSHOT,
    VERDICTS,
    committed,
    read_table,
    shard_file,
    table_bytes,
)
from pipelines.storage import Directory

SHARDS_KEY = b"oodscan.shards"
"""Metadata of a snapshot: the ids of the shards whose candidates are in it."""

Memories = Mapping[str, Candidates]
"""What each method remembers, by the method's name."""


def memory_table(method: str, memory: Candidates) -> pa.Table:
    """The candidates of a method's memory as a table, one row an image."""
    return pa.table(
        {
            "method": pa.array([method] * len(memory), pa.string()),
            "row": pa.array(memory.rows, pa.int64()),
            "priority": pa.array(memory.priorities, pa.float64()),
            "key": pa.array(memory.keys, pa.string()),
            "embedding": vector_column(memory.embeddings),
        }
    )


def candidates_of(table: pa.Table, dim: int) -> Candidates:
    """The candidates that a table of `memory_table` holds, of one method. `dim`: of the embeddings."""
    embeddings = vectors_of(table["embedding"]).reshape(len(table), dim)
    return Candidates(table["row"].to_numpy(), table["priority"].to_numpy(), table["key"].to_pylist(), embeddings)


def by_method(table: pa.Table, methods: Iterable[str], dim: int) -> dict[str, Candidates]:
    """The candidates of each method that a table of `memory_table` holds."""
    return {name: candidates_of(table.filter(compute.field("method") == name), dim) for name in methods}


@dataclass(frozen=True)
class Snapshot:
    """What the candidates of some shards, and what the scan began with, have come to."""

    table: pa.Table
    shards: frozenset[str]

    @property
    def version(self) -> int:
        return len(self.shards)


@dataclass(frozen=True)
class MemoryFiles:
    """The folder `memory/` of a scan. What is remembered is a function of `initial` and of the shards' candidates."""

    output: Directory
    fingerprint: str
    dim: int

    def put(self, name: str, table: pa.Table, metadata: Mapping[bytes, str] | None = None) -> None:
        """Writes a table with the scan's fingerprint. `name`: one of the layout's, in the scan directory."""
        self.output.put(name, table_bytes(table, {FINGERPRINT_KEY: self.fingerprint, **(metadata or {})}))

    def get(self, name: str) -> pa.Table:
        """A table, by one of the layout's names. Raises FileNotFoundError if there is none."""
        return read_table(self.output, name)

    def shards(self) -> set[str]:
        """The ids of the shards whose candidates are written."""
        return committed(self.output, CANDIDATES)

    def candidates(self, shards: Iterable[str]) -> Iterator[tuple[str, pa.Table]]:
        """Each shard's candidates, read a few files ahead."""
        left = iter(sorted(shards))
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            while together := list(itertools.islice(left, REQUESTS_AT_ONCE)):
                tables = pool.map(lambda shard: self.get(shard_file(CANDIDATES, shard)), together)
                yield from zip(together, tables, strict=True)

    def snapshot(self) -> Snapshot | None:
        """The snapshot of most shards, None if there is none."""
        versions = self._versions()
        if not versions:
            return None
        table = self.get(snapshot_file(max(versions)))
        return Snapshot(table, frozenset(json.loads((table.schema.metadata or {})[SHARDS_KEY])))

    def rows(self) -> pa.Table | None:
        """Method and row of every image in the newest snapshot, which is all that it takes to count them."""
        versions = self._versions()
        return read_table(self.output, snapshot_file(max(versions)), ["method", "row"]) if versions else None

    def put_snapshot(self, memories: Memories, shards: Iterable[str]) -> Snapshot:
        """Writes the memory of these shards, and then removes older ones."""
        names = sorted(shards)
        table = pa.concat_tables([memory_table(name, memory) for name, memory in memories.items()])
        older = [version for version in self._versions() if version != len(names)]
        self.put(snapshot_file(len(names)), table, {SHARDS_KEY: json.dumps(names)})
        for version in older:
            self.output.remove(snapshot_file(version))
        return Snapshot(table, frozenset(names))

    def forget(self, shards: Iterable[str]) -> None:
        """Removes the candidates of these shards, and the snapshot if they are in it."""
        gone = set(shards)
        snapshot = self.snapshot() if gone else None
        if snapshot and gone & snapshot.shards:
            self.output.remove(snapshot_file(snapshot.version))
        for shard in gone & self.shards():
            self.output.remove(shard_file(CANDIDATES, shard))

    def initial(self) -> pa.Table | None:
        """The memory that the scan has begun with, None if with an empty one."""
        try:
            return self.get(INITIAL)
        except FileNotFoundError:
            return None

    def rebuilt(self, banks: Mapping[str, MemoryBank], part: int = 0, parts: int = 1) -> set[str]:
        """Fills the banks with all that is stored of this part of the memory; returns the shards that it is from."""
        snapshot, initial = self.snapshot(), self.initial()
        known = set(snapshot.shards) if snapshot else set()
        shards = self.shards()
        starts = [start for start in (initial, snapshot.table if snapshot else None) if start is not None]
        for table in itertools.chain(starts, (table for _, table in self.candidates(shards - known))):
            for name, candidates in by_method(table, banks, self.dim).items():
                banks[name].offer(candidates.of_part(part, parts))
        return shards | known

    def _versions(self) -> list[int]:
        names = [f"{MEMORY}/{name}" for name in self.output.names(MEMORY)]
        chosen = [name for name in names if name.startswith(SNAPSHOT) and name.endswith(".parquet")]
        numbers = [name.removeprefix(SNAPSHOT).removesuffix(".parquet") for name in chosen]
        return sorted(int(number) for number in numbers if number.isdecimal())


def snapshot_file(version: int) -> str:
    """The path of the snapshot of so many shards in the scan directory."""
    return f"{SNAPSHOT}{version}.parquet"


def memory_files(config: Scan | Rescore, shards: Sequence[Shard]) -> list[str]:
    """The files of a finished scan's memory; none if it fills none."""
    methods = config.methods()
    learners = methods_with_memory(methods)
    if not learners or config.memory.freeze or has_sequential(methods):
        return []
    names = [shard_file(CANDIDATES, shard.id) for shard in shards]
    names += [INITIAL] if config.memory.uri else []
    names.append(snapshot_file(len(shards)))
    if any(chosen.inverts for chosen in learners.values()):
        names.append(EXTRA_NEGATIVES)
    if any(chosen.adapts for chosen in learners_of(methods).values()):
        names += [shard_file(VERDICTS, shard.id) for shard in shards]
    return names
