"""The manifest: the receipts of all committed score tables, so that a finished scan is known without reading them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from pipelines.inputs.readers.parquet import DAMAGE
from pipelines.scan_directory.layout import FINGERPRINT_KEY, MANIFEST, committed, read_table, shard_file, table_bytes
from pipelines.scan_directory.receipts import SCHEMA, with_last
from pipelines.scan_directory.summary import Tally
from pipelines.storage import Directory

WRITE_EVERY_S, WRITE_AFTER = 30.0, 1000
"""Receipts are written after so many seconds or so many shards, whichever comes first."""

WHOLE_KEY = b"oodscan.whole"
"""Metadata of a manifest file that stands for all files before it."""


@dataclass
class Manifest:
    """The files in `manifest/`: each holds receipts, and in its last row what all their shards come to: the sketches
    added up, the choices for the gallery merged.

    Receipts of a run are appended file by file, and brought into one at the end.
    """

    output: Directory
    fingerprint: str
    _waiting: Tally = field(default_factory=Tally)
    _next: int = 0
    _written: float = field(default_factory=time.monotonic)

    def read(self, sizes: Mapping[str, int]) -> Tally:
        """The receipts of the shards that are committed. `sizes`: of the files that are there, by shard.

        A manifest that does not agree with the files, or that cannot be read, counts as none: of it nothing can be
        taken out, since its sketches are added up.
        """
        tally = self.told()
        return tally if agrees(tally, sizes) else Tally()

    def told(self) -> Tally:
        """The receipts that are written, none if they cannot be read or are of another scan."""
        numbers, tally = self._numbers(), Tally()
        self._next = max(numbers, default=-1) + 1
        try:
            for number in sorted(numbers, reverse=True):
                table = read_table(self.output, manifest_file(number))
                metadata = table.schema.metadata or {}
                if metadata.get(FINGERPRINT_KEY, b"").decode() != self.fingerprint:
                    return Tally()
                tally.add(table.cast(SCHEMA))
                if WHOLE_KEY in metadata:
                    break
        except (*DAMAGE, ValueError):
            return Tally()
        return tally

    def add(self, receipts: pa.Table) -> None:
        """Takes receipts of shards that are committed now; writes them with others when it is time."""
        self._waiting.add(receipts)
        count = sum(map(len, self._waiting.receipts))
        if count >= WRITE_AFTER or time.monotonic() - self._written > WRITE_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Writes what has not been written yet."""
        if self._waiting.receipts:
            self._put(self._waiting, {})
        self._waiting, self._written = Tally(), time.monotonic()

    def replace(self, tally: Tally) -> None:
        """Writes the receipts of all committed shards into one file, and removes the others; not if it is that way."""
        older = self._numbers()
        if self._waiting.receipts or len(older) != 1:
            self._waiting = Tally()
            self._put(tally, {WHOLE_KEY: "1"})
            self.output.remove_files([manifest_file(number) for number in older])

    def clear(self) -> None:
        """Removes what is written of it."""
        self.output.remove_files([manifest_file(number) for number in self._numbers()])

    def _put(self, tally: Tally, metadata: Mapping[bytes, str]) -> None:
        table = pa.concat_tables(tally.receipts).combine_chunks()
        table = with_last(table, "sketches", tally.sketch_cells())
        table = with_last(table, "choices", tally.choices().to_pylist())
        content = table_bytes(table, {FINGERPRINT_KEY: self.fingerprint, **metadata})
        self.output.put(manifest_file(self._next), content)
        self._next += 1

    def _numbers(self) -> list[int]:
        return [int(number) for number in committed(self.output, MANIFEST)]


def manifest_file(number: int) -> str:
    """The path of a manifest file in the scan directory."""
    return shard_file(MANIFEST, f"{number:06d}")


def agrees(tally: Tally, sizes: Mapping[str, int]) -> bool:
    """Whether receipts, one for each shard, are of files that are there in the size that they tell of."""
    shards = [shard for table in tally.receipts for shard in table["shard"].to_pylist()]
    told = [size for table in tally.receipts for size in table["size"].to_pylist()]
    once = len(set(shards)) == len(shards)
    return once and all(sizes.get(shard) == size for shard, size in zip(shards, told, strict=True))
