"""A scan's memory as its directory holds it, read without the embeddings and checked. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from ood_core.memory import Candidates, MemoryBank
from ood_core.vectors import parquet_table
from pipelines.errors import CallerError, first_line
from pipelines.memory.files import MemoryFiles, Snapshot
from pipelines.reports.scan_inputs import open_file
from pipelines.scan_directory.layout import EXTRA_NEGATIVES, MEMORY
from pipelines.scan_directory.record import reading
from pipelines.storage import Directory

COLUMNS = pa.schema({"method": pa.string(), "row": pa.int64(), "priority": pa.float64(), "key": pa.string()})
"""The columns of the memory's tables that are read: all but the embeddings."""
ORDER = ("row", "priority", "key")
"""The columns by which `MemoryBank.snapshot` orders its images."""


@dataclass(frozen=True)
class StoredMemory:
    """The tables of a scan's memory.

    `snapshot`: the newest, None if there is none; `initial`: the memory that the scan began with, None if that was
    empty; `candidates`: what each shard offered, by shard id; `extra_negatives`: how many there are, None if none were
    made yet.
    """

    snapshot: Snapshot | None
    initial: pa.Table | None
    candidates: Mapping[str, pa.Table]
    extra_negatives: int | None

    @classmethod
    def read(cls, directory: Directory) -> "StoredMemory":
        """The tables in a scan directory. Raises CallerError for one that cannot be read."""
        files = MemoryFilesWithoutEmbeddings(directory, "", 0)
        try:
            with reading(directory.url, MEMORY):
                extra = len(files.get(EXTRA_NEGATIVES)) if directory.exists(EXTRA_NEGATIVES) else None
                offered = dict(files.candidates(sorted(files.shards())))
                return cls(files.snapshot(), files.initial(), offered, extra)
        except FileNotFoundError as error:
            raise CallerError(
                f"SCAN {directory.url!r} cannot be read: a file has gone meanwhile, as when the scan is running: "
                f"{first_line(error)}"
            ) from error

    @property
    def shards(self) -> frozenset[str]:
        """The ids of the shards whose images the memory was chosen from."""
        return frozenset(self.candidates) | (self.snapshot.shards if self.snapshot else frozenset())

    @property
    def unmerged(self) -> list[str]:
        """The ids of the shards whose candidates are in no snapshot yet."""
        return sorted(self.candidates.keys() - (self.snapshot.shards if self.snapshot else frozenset()))

    def tables(self) -> list[pa.Table]:
        """The tables that make up the memory when they are merged.

        What the scan began with is among them only without a snapshot, which already holds it.
        """
        start = self.snapshot.table if self.snapshot else self.initial
        return [*([] if start is None else [start]), *(self.candidates[shard] for shard in self.unmerged)]

    def last_row(self, method: str) -> int:
        """The highest row of a method's memory that holds an image; -1 if none does."""
        return max((int(method_candidates(table, method).rows.max(initial=-1)) for table in self.tables()), default=-1)

    def remembered(self, method: str, capacities: np.ndarray) -> Candidates:
        """The images that a method remembers, by row, then priority, then key.

        `capacities`: how many images each row can hold.
        """
        parts = [method_candidates(table, method) for table in self.tables()]
        if self.snapshot and len(parts) == 1:
            return parts[0]
        bank = MemoryBank(capacities, 0)
        for part in parts:
            bank.offer(part)
        return bank.snapshot()


class MemoryFilesWithoutEmbeddings(MemoryFiles):
    """The folder `memory/` of a scan, of whose tables only `COLUMNS` are read."""

    def get(self, name: str) -> pa.Table:
        """A table, by one of the layout's names.

        Raises FileNotFoundError if there is none, and CallerError for one that is damaged.
        """
        with reading(self.output.url, name), open_file(self.output, name) as file:
            table = parquet_table(file, COLUMNS.names)
            table = table.cast(COLUMNS.with_metadata(table.schema.metadata))
            table.validate(full=True)
            if any(column.null_count for column in table.columns) or table["row"].to_numpy().min(initial=0) < 0:
                raise ValueError("it has images without a row, a priority or a key")
            return table


def method_candidates(table: pa.Table, method: str) -> Candidates:
    """The images of one method in a table of the memory, ordered by row, then priority, then key; no embeddings."""
    own = table.filter(compute.field("method") == method).sort_by([(name, "ascending") for name in ORDER])
    rows, priorities = own["row"].to_numpy(), own["priority"].to_numpy()
    return Candidates(rows, priorities, own["key"].to_pylist(), np.empty((len(own), 0), np.float32))
