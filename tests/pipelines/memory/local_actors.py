"""A memory's actors as plain objects, which can be asked twice, restarted and killed."""

import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.memory import Candidates
from pipelines.memory.actor import MemoryActor, MemorySpec
from pipelines.memory.client import Answer
from pipelines.memory.files import MemoryFiles, memory_table
from pipelines.scan_directory.layout import CANDIDATES, shard_file, table_bytes
from pipelines.storage import Directory


class LocalActors:
    """In this process. `twice`: every call is made once more, as when Ray has lost the answer. `lost`: of so many
    publications the actor dies before they are fetched."""

    def __init__(self, spec: MemorySpec, twice: bool = False) -> None:
        self.spec, self.twice, self.now = spec, twice, 0.0
        self.lost = 0
        self.actors = [self._new(part) for part in range(spec.parts)]

    def ask(self, part: int, method: str, *arguments: Any) -> Answer:
        if self.twice:
            getattr(self.actors[part], method)(*arguments)
        found = getattr(self.actors[part], method)(*arguments)
        return lambda: found

    def fetch(self, published: Any) -> Any:
        self.lost -= 1
        return None if self.lost >= 0 else published

    def restart(self, part: int) -> None:
        """As after the death of its process: what was not stored is gone."""
        self.actors[part] = self._new(part)

    def _new(self, part: int) -> MemoryActor:
        return MemoryActor(self.spec, part, put=lambda content: content, clock=lambda: self.now)


def files(dim: int = 1) -> MemoryFiles:
    """A folder of its own."""
    return MemoryFiles(Directory(f"memory://{uuid.uuid4().hex}"), "fingerprint", dim)


def store(where: MemoryFiles, shard: str, method: str, offered: Candidates) -> pa.Table:
    """Writes a shard's candidates, as the committer does."""
    table = memory_table(method, offered)
    where.output.put(shard_file(CANDIDATES, shard), table_bytes(table, {}))
    return table


def candidates(given: Sequence[tuple[int, float, str]]) -> Candidates:
    """Of (row, priority, key); the embedding follows from the key."""
    return Candidates(
        rows=np.array([row for row, *_ in given], np.int64),
        priorities=np.array([priority for _, priority, _ in given], np.float64),
        keys=[key for *_, key in given],
        embeddings=np.array([[float(ord(key[0]))] for *_, key in given], np.float32).reshape(-1, 1),
    )


def together(parts: Sequence[Candidates]) -> Candidates:
    return candidates(
        [
            (int(row), float(priority), key)
            for part in parts
            for row, priority, key in zip(part.rows, part.priorities, part.keys, strict=True)
        ]
    )


def content(memory: Candidates) -> list[tuple[int, float, str, float]]:
    columns = memory.rows.tolist(), memory.priorities.tolist(), memory.keys, memory.embeddings[:, 0].tolist()
    return list(zip(*columns, strict=True))
