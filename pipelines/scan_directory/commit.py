"""Commits a shard: what a worker has made of it becomes visible at once, in one file, by the worker itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from pipelines.scan_directory.columns import EMBEDDING, OFFERS
from pipelines.scan_directory.layout import (
    CANDIDATES,
    EMBEDDINGS,
    FINGERPRINT_KEY,
    PASSED_OVER_KEY,
    RECORDS_KEY,
    SCORES,
    VERDICTS_KEY,
    shard_file,
    table_bytes,
)
from pipelines.scan_directory.receipts import Receipt, receipt_of
from pipelines.scan_directory.whole import NotWholeError, whole_table
from pipelines.storage import Directory

Remember = Callable[[str, pa.Table], None]
"""Called with a shard's id and its candidates for the memory, once they are stored."""


@dataclass(frozen=True)
class Committer:
    """Writes the rows of shards to `folder`, one file a shard.

    A shard's file holds nothing that depends on who made it, so a second attempt writes the same bytes. Its candidates
    for the memory are written before it, and so are its embeddings: a visible score has its embedding, and is
    remembered. `fingerprint`: that the rows carry; `whole`: that of the scan, if it is another, which candidates carry;
    `again`: shards whose files do not count.
    """

    output: Directory
    fingerprint: str
    folder: str = SCORES
    remember: Remember | None = None
    again: frozenset[str] = frozenset()
    whole: str | None = None

    def commit(self, shard: str, rows: pa.Table, times: Mapping[str, float] = MappingProxyType({})) -> Receipt:
        """Commits all rows of a shard, given in order. `times`: what the receipt tells of the work."""
        rows = rows.combine_chunks()
        metadata: dict[bytes, Any] = {FINGERPRINT_KEY: self.fingerprint, RECORDS_KEY: str(len(rows))}
        told = rows.schema.metadata or {}
        metadata |= {key: told[key] for key in (PASSED_OVER_KEY, VERDICTS_KEY) if key in told}
        if OFFERS in rows.column_names:
            offered = _candidates(rows)
            self._put(CANDIDATES, shard, offered, {FINGERPRINT_KEY: self.whole or self.fingerprint})
            if self.remember:
                self.remember(shard, offered)
            rows = rows.drop_columns(OFFERS)
        kept = None
        if self.folder == SCORES and EMBEDDING in rows.column_names:
            embeddings = rows.select(["key", "shard", "index", EMBEDDING]).filter(rows[EMBEDDING].is_valid())
            kept = self._put(EMBEDDINGS, shard, embeddings, metadata)
            rows = rows.drop_columns(EMBEDDING)
        content = self._put(self.folder, shard, rows, metadata)
        if self.folder == CANDIDATES and self.remember:
            self.remember(shard, rows)
        return receipt_of(shard, rows, content, times, self.folder == SCORES, kept)

    def known(self, shard: str) -> Receipt | None:
        """The receipt of a shard that is committed already; None if it is not, or its file is not whole."""
        if shard in self.again or not self.output.exists(shard_file(self.folder, shard)):
            return None
        embeddings = self.folder == SCORES and self.output.exists(shard_file(EMBEDDINGS, shard))
        try:
            return self.receipt(shard, embeddings)
        except NotWholeError:
            return None

    def receipt(self, shard: str, embeddings: bool = False) -> Receipt:
        """The receipt of a committed shard, from its file. `embeddings`: whether there must be one of these too.

        Raises NotWholeError, which names the file, if one is not whole, FileNotFoundError if it is not there.
        """
        content, rows = self._whole(self.folder, shard, shard)
        kept = self._whole(EMBEDDINGS, shard)[0] if embeddings else None
        if self.folder == CANDIDATES and self.remember:  # a worker may have died between the file and this
            self.remember(shard, rows)
        return receipt_of(shard, rows, content, final=self.folder == SCORES, embeddings=kept)

    def _whole(self, folder: str, shard: str, rows_of: str | None = None) -> tuple[bytes, pa.Table]:
        name = shard_file(folder, shard)
        content = self.output.read(name)
        try:
            return content, whole_table(content, self.fingerprint, rows_of)
        except NotWholeError as error:
            raise NotWholeError(f"{name}: {error}") from error

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
