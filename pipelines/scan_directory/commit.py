"""Commits a shard: what a worker has made of it becomes visible at once, in one file, by the worker itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from pipelines.inputs.readers.parquet import DAMAGE
from pipelines.scan_directory.columns import EMBEDDING, OFFERS
from pipelines.scan_directory.layout import (
    CANDIDATES,
    EMBEDDINGS,
    FINGERPRINT_KEY,
    PASSED_OVER_KEY,
    RECORDS_KEY,
    SCORES,
    shard_file,
    table_bytes,
    table_from,
)
from pipelines.scan_directory.receipts import Receipt, receipt_of
from pipelines.storage import Directory

Remember = Callable[[str, pa.Table], None]
"""Called with a shard's id and its candidates for the memory, once they are stored."""


@dataclass(frozen=True)
class Committer:
    """Writes the rows of shards to `folder`, one file a shard.

    A shard's file holds nothing that depends on who made it, so a second attempt writes the same bytes. Its candidates
    for the memory are written before it, and so are its embeddings: a visible score has its embedding, and is
    remembered. `again`: shards whose files do not count.
    """

    output: Directory
    fingerprint: str
    folder: str = SCORES
    remember: Remember | None = None
    again: frozenset[str] = frozenset()

    def commit(self, shard: str, rows: pa.Table, times: Mapping[str, float] = MappingProxyType({})) -> Receipt:
        """Commits all rows of a shard, given in order. `times`: what the receipt tells of the work."""
        rows = rows.combine_chunks()
        metadata: dict[bytes, Any] = {FINGERPRINT_KEY: self.fingerprint, RECORDS_KEY: str(len(rows))}
        if told := (rows.schema.metadata or {}).get(PASSED_OVER_KEY):
            metadata[PASSED_OVER_KEY] = told
        if OFFERS in rows.column_names:
            offered = _candidates(rows)
            self._put(CANDIDATES, shard, offered, {FINGERPRINT_KEY: self.fingerprint})
            if self.remember:
                self.remember(shard, offered)
            rows = rows.drop_columns(OFFERS)
        if self.folder == SCORES and EMBEDDING in rows.column_names:
            embeddings = rows.select(["key", "shard", "index", EMBEDDING]).filter(rows[EMBEDDING].is_valid())
            self._put(EMBEDDINGS, shard, embeddings, metadata)
            rows = rows.drop_columns(EMBEDDING)
        content = self._put(self.folder, shard, rows, metadata)
        if self.folder == CANDIDATES and self.remember:
            self.remember(shard, rows)
        return receipt_of(shard, rows, content, times, self.folder == SCORES)

    def known(self, shard: str) -> Receipt | None:
        """The receipt of a shard that is committed already; None if it is not, or its file is not whole."""
        name = shard_file(self.folder, shard)
        if shard in self.again or not self.output.exists(name):
            return None
        content = self.output.read(name)
        try:
            rows = table_from(content)
        except DAMAGE:
            return None
        metadata = rows.schema.metadata or {}
        if metadata.get(FINGERPRINT_KEY, b"").decode() != self.fingerprint:
            return None
        if self.folder == CANDIDATES and self.remember:  # a worker may have died between the file and this
            self.remember(shard, rows)
        return receipt_of(shard, rows, content, final=self.folder == SCORES)

    def _put(self, folder: str, shard: str, table: pa.Table, metadata: dict) -> bytes:
        content = table_bytes(table, metadata)
        self.output.put(shard_file(folder, shard), content)
        return content


def _candidates(rows: pa.Table) -> pa.Table:
    """One row for each offer that the rows hold, in the columns of `memory_table`."""
    lists = rows[OFFERS].combine_chunks()
    offers = pa.Table.from_struct_array(lists.flatten())
    keys = rows["key"].fill_null("").take(lists.value_parent_indices())
    return offers.append_column("key", keys).select(["method", "row", "priority", "key", "embedding"])
