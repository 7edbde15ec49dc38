"""A scan's memory in storage: what each shard offered, and snapshots, which are compactions of that."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from ood_core.memory import Candidates, MemoryBank
from pipelines.inputs.listing import REQUESTS_AT_ONCE
from pipelines.scan_directory.layout import (
    CANDIDATES,
    FINGERPRINT_KEY,
    MEMORY,
    committed,
    parquet_of,
    part_name,
    table_of,
)
from pipelines.storage import Directory

SNAPSHOT, CARRIED, EXTRA_NEGATIVES = "snapshot-", "carried.parquet", "extra-negatives.parquet"
SHARDS_KEY, VERSION_KEY = b"oodscan.shards", b"oodscan.memory_version"
Memories = Mapping[str, Candidates]
"""By method."""


def memory_table(method: str, memory: Candidates) -> pa.Table:
    """A memory's content as a table."""
    values = pa.array(np.ascontiguousarray(memory.embeddings).reshape(-1))
    return pa.table(
        {
            "method": pa.array([method] * len(memory), pa.string()),
            "row": pa.array(memory.rows, pa.int64()),
            "priority": pa.array(memory.priorities, pa.float64()),
            "key": pa.array(memory.keys, pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(values, memory.embeddings.shape[1]),
        }
    )


def memory_of(table: pa.Table, dim: int) -> Candidates:
    """The inverse of `memory_table`."""
    embeddings = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(table), dim)
    return Candidates(table["row"].to_numpy(), table["priority"].to_numpy(), table["key"].to_pylist(), embeddings)


def by_method(table: pa.Table, methods: Iterable[str], dim: int) -> dict[str, Candidates]:
    """The memories that a table holds."""
    return {name: memory_of(table.filter(compute.field("method") == name), dim) for name in methods}


@dataclass(frozen=True)
class Snapshot:
    """The memory of some shards."""

    table: pa.Table
    shards: frozenset[str]

    @property
    def version(self) -> int:
        return len(self.shards)


@dataclass(frozen=True)
class MemoryFiles:
    """The folder `memory/` of a scan. What it remembers is a function of `carried` and the candidates of its shards."""

    output: Directory
    fingerprint: str
    dim: int

    def put(self, name: str, table: pa.Table, metadata: Mapping[bytes, str] | None = None) -> None:
        described = {FINGERPRINT_KEY: self.fingerprint, **(metadata or {})}
        self.output.put(f"{MEMORY}/{name}", parquet_of(table, described))

    def get(self, name: str) -> pa.Table:
        """Raises FileNotFoundError if there is none."""
        return table_of(self.output.read(f"{MEMORY}/{name}"))

    def shards(self) -> set[str]:
        """Those whose candidates are written."""
        return committed(self.output, CANDIDATES)

    def candidates(self, shards: Iterable[str]) -> Iterator[tuple[str, pa.Table]]:
        """What each shard offered, read a few files ahead."""
        folder, left = CANDIDATES.removeprefix(f"{MEMORY}/"), iter(sorted(shards))
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            while together := list(itertools.islice(left, REQUESTS_AT_ONCE)):
                tables = pool.map(lambda shard: self.get(f"{folder}/{part_name(shard)}"), together)
                yield from zip(together, tables, strict=True)

    def snapshot(self) -> Snapshot | None:
        """The newest."""
        versions = self._versions()
        if not versions:
            return None
        table = self.get(_snapshot_name(max(versions)))
        return Snapshot(table, frozenset(json.loads((table.schema.metadata or {})[SHARDS_KEY])))

    def rows(self) -> pa.Table | None:
        """Method and row of every image in the newest snapshot: all that it takes to count them."""
        versions = self._versions()
        if not versions:
            return None
        return table_of(self.output.read(f"{MEMORY}/{_snapshot_name(max(versions))}"), ["method", "row"])

    def put_snapshot(self, memories: Memories, shards: Iterable[str]) -> Snapshot:
        """Writes the memory of these shards, and then removes older ones."""
        names = sorted(shards)
        table = pa.concat_tables([memory_table(name, memory) for name, memory in memories.items()])
        older = [version for version in self._versions() if version != len(names)]
        self.put(_snapshot_name(len(names)), table, {SHARDS_KEY: json.dumps(names)})
        for version in older:
            self.output.remove(f"{MEMORY}/{_snapshot_name(version)}")
        return Snapshot(table, frozenset(names))

    def forget(self, shards: Iterable[str]) -> None:
        """What these shards have offered, and a snapshot that it is in."""
        gone = self.shards().intersection(shards)
        snapshot = self.snapshot() if gone else None
        if snapshot and gone & snapshot.shards:
            self.output.remove(f"{MEMORY}/{_snapshot_name(snapshot.version)}")
        for shard in gone:
            self.output.remove(f"{CANDIDATES}/{part_name(shard)}")

    def carried(self) -> pa.Table | None:
        """The memory that the scan has begun with."""
        try:
            return self.get(CARRIED)
        except FileNotFoundError:
            return None

    def rebuilt(self, banks: Mapping[str, MemoryBank], part: int = 0, parts: int = 1) -> set[str]:
        """Fills the banks with all that is stored for this part of the memory; the shards that it comes from."""
        snapshot, carried = self.snapshot(), self.carried()
        known = set(snapshot.shards) if snapshot else set()
        shards = self.shards()
        starts = [start for start in (carried, snapshot.table if snapshot else None) if start is not None]
        for table in itertools.chain(starts, (table for _, table in self.candidates(shards - known))):
            for name, candidates in by_method(table, banks, self.dim).items():
                banks[name].offer(candidates.of_part(part, parts))
        return shards | known

    def _versions(self) -> list[int]:
        names = [name for name in self.output.names(MEMORY) if name.startswith(SNAPSHOT) and name.endswith(".parquet")]
        return sorted(int(name.removeprefix(SNAPSHOT).removesuffix(".parquet")) for name in names)


def _snapshot_name(version: int) -> str:
    return f"{SNAPSHOT}{version}.parquet"
