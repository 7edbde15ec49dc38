"""What a scan's directory holds of its memory. Free of torch; reads no embeddings."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from ood_core.memory import Candidates, MemoryBank
from pipelines.errors import CallerError, first_line
from pipelines.inputs.readers.range_file import open_range
from pipelines.memory.files import MemoryFiles, Snapshot
from pipelines.scan_directory.layout import EXTRA_NEGATIVES, MEMORY
from pipelines.scan_directory.record import reading
from pipelines.storage import Directory, file_system

COLUMNS = pa.schema({"method": pa.string(), "row": pa.int64(), "priority": pa.float64(), "key": pa.string()})
ORDER = ("row", "priority", "key")


@dataclass(frozen=True)
class Stored:
    """What is in storage of a memory: the newest snapshot, what the scan began with, what each shard has offered, and
    how many extra negatives there are."""

    snapshot: Snapshot | None
    initial: pa.Table | None
    candidates: Mapping[str, pa.Table]
    extra_negatives: int | None

    @classmethod
    def read(cls, directory: Directory) -> "Stored":
        """Raises CallerError for a file that cannot be read."""
        files = WithoutEmbeddings(directory, "", 0)
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
        """Those that the memory is of."""
        return frozenset(self.candidates) | (self.snapshot.shards if self.snapshot else frozenset())

    @property
    def unmerged(self) -> list[str]:
        """Shards whose candidates are in no snapshot yet."""
        return sorted(self.candidates.keys() - (self.snapshot.shards if self.snapshot else frozenset()))

    def tables(self) -> list[pa.Table]:
        """Whose merger is the memory: a snapshot holds what the scan began with."""
        start = self.snapshot.table if self.snapshot else self.initial
        return [*([] if start is None else [start]), *(self.candidates[shard] for shard in self.unmerged)]

    def last_row(self, method: str) -> int:
        """The highest that an image is in; -1 if there is no image."""
        return max((int(of_method(table, method).rows.max(initial=-1)) for table in self.tables()), default=-1)

    def remembered(self, method: str, capacities: np.ndarray) -> Candidates:
        """By row, then priority, then key."""
        parts = [of_method(table, method) for table in self.tables()]
        if self.snapshot and len(parts) == 1:
            return parts[0]
        bank = MemoryBank(capacities, 0)
        for part in parts:
            bank.offer(part)
        return bank.snapshot()


class WithoutEmbeddings(MemoryFiles):
    """Tables of `COLUMNS` only."""

    def get(self, name: str) -> pa.Table:
        """Raises FileNotFoundError if there is none, and CallerError for one that is damaged."""
        files, path = file_system(f"{self.output.url}/{name}", self.output.options)
        size = files.info(path)["size"]
        with reading(self.output.url, name), open_range(files, path, size) as file:
            table = pq.read_table(file, columns=COLUMNS.names, page_checksum_verification=True)
            table = table.cast(COLUMNS.with_metadata(table.schema.metadata))
            table.validate(full=True)
            if any(column.null_count for column in table.columns) or table["row"].to_numpy().min(initial=0) < 0:
                raise ValueError("it has images without a row, a priority or a key")
            return table


def of_method(table: pa.Table, method: str) -> Candidates:
    """What a table holds of a method, in the order of `MemoryBank.snapshot`."""
    own = table.filter(compute.field("method") == method).sort_by([(name, "ascending") for name in ORDER])
    rows, priorities = own["row"].to_numpy(), own["priority"].to_numpy()
    return Candidates(rows, priorities, own["key"].to_pylist(), np.empty((len(own), 0), np.float32))
