"""The manifest: the receipts of all committed score tables, so that a finished scan is known without reading them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from pipelines.inputs.readers.parquet import DAMAGE
from pipelines.scan_directory.layout import (
    FINGERPRINT_KEY,
    MANIFEST,
    carries,
    committed,
    committed_files,
    read_table,
    shard_file,
    table_bytes,
)
from pipelines.scan_directory.receipts import ALWAYS, SCHEMA, with_last
from pipelines.scan_directory.summary import Tally
from pipelines.storage import Directory

WRITE_EVERY_S, WRITE_AFTER = 30.0, 1000
"""Receipts are written after so many seconds or so many shards, whichever comes first."""

WHOLE_KEY = b"oodscan.whole"
"""Metadata of a manifest file that stands for all files before it."""


class ToldFile(NamedTuple):
    """What a manifest tells of a shard's score table, and of the table of its embeddings if they are kept.

    `written`: when the manifest's file was written that tells it, None if the storage does not say.
    """

    size: int
    digest: str
    embeddings_size: int | None
    embeddings_digest: str | None
    written: float | None


@dataclass
class Manifest:
    """The files in `manifest/`: each holds receipts, and in its last row what all their shards come to: the sketches
    added up, the choices for the gallery merged, the counts of images added up.

    Receipts of a run are appended file by file, and brought into one at the end. `files`: what was read of it.
    """

    output: Directory
    fingerprint: str
    files: dict[str, ToldFile] = field(default_factory=dict)
    _waiting: Tally = field(default_factory=Tally)
    _next: int = 0
    _written: float = field(default_factory=time.monotonic)

    def told(self) -> Tally:
        """The receipts that are written. None at all if one cannot be read, is of another scan, or tells twice of a
        shard: of a manifest nothing can be taken out, since its sketches are added up."""
        found = committed_files(self.output, MANIFEST)
        parts = {int(number): entry for number, entry in found.items() if number.isdecimal()}
        self.files, self._next, tally = {}, max(parts, default=-1) + 1, Tally()
        try:
            for number in sorted(parts, reverse=True):
                table = read_table(self.output, manifest_file(number))
                receipts = table.cast(SCHEMA)
                incomplete = any(receipts[name].null_count for name in ALWAYS)
                if incomplete or not carries(table, self.fingerprint):
                    return self._nothing()
                tally.add(receipts)
                for told in receipts.select(["shard", *ToldFile._fields[:-1]]).to_pylist():
                    shard = told.pop("shard")
                    if shard in self.files:
                        return self._nothing()
                    self.files[shard] = ToldFile(**told, written=parts[number].written)
                if WHOLE_KEY in (table.schema.metadata or {}):
                    break
            tally.choices()
            tally.breakdown()
            tally.described()  # so that whatever is wrong with a receipt is found here
        except (*DAMAGE, ValueError, LookupError, TypeError, AttributeError):
            return self._nothing()
        return tally

    def _nothing(self) -> Tally:
        self.files = {}
        return Tally()

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
        """Forgets all receipts, written or not."""
        self._waiting, self.files = Tally(), {}
        self.output.remove_files([manifest_file(number) for number in self._numbers()])

    def _put(self, tally: Tally, metadata: Mapping[bytes, str]) -> None:
        table = pa.concat_tables(tally.receipts).combine_chunks()
        table = with_last(table, "sketches", tally.sketch_cells())
        table = with_last(table, "choices", tally.choices().to_pylist())
        table = with_last(table, "breakdown", tally.breakdown().to_pylist())
        content = table_bytes(table, {FINGERPRINT_KEY: self.fingerprint, **metadata})
        self.output.put(manifest_file(self._next), content)
        self._next += 1

    def _numbers(self) -> list[int]:
        return [int(number) for number in committed(self.output, MANIFEST) if number.isdecimal()]


def manifest_file(number: int) -> str:
    """The path of a manifest file in the scan directory."""
    return shard_file(MANIFEST, f"{number:06d}")
