"""The committer: rows arrive scattered, out of order, sometimes twice; a shard becomes visible at once, in one file."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from pipelines.scan_directory.columns import EMBEDDING, END_OF_SHARD, OFFERS, TELEMETRY
from pipelines.scan_directory.layout import (
    CANDIDATES,
    EMBEDDINGS,
    FINGERPRINT_KEY,
    RECORDS_KEY,
    SCORES,
    shard_file,
    table_bytes,
)
from pipelines.storage import Directory

OnShard = Callable[[str, pa.Table], None]
"""Called with a shard's id and its rows."""


@dataclass
class _Gathered:
    """The rows of one shard that have come so far. `expected`: how many there are, once its end row is in."""

    tables: list[pa.Table] = field(default_factory=list)
    indices: set[int] = field(default_factory=set)
    expected: int | None = None

    def add(self, index: int) -> bool:
        """Notes that a record has come; false if it had come before."""
        if index in self.indices:
            return False
        self.indices.add(index)
        return True

    @property
    def whole(self) -> bool:
        return len(self.indices) == self.expected


@dataclass
class Committer:
    """Gathers rows by (shard, index) and commits each shard to `folder` when its last record is in.

    The file holds the rows in index order and nothing that depends on how they came, so a second attempt writes the
    same bytes. A shard's candidates for the memory are written before it, and so are its embeddings: a visible score
    has its embedding, and is remembered. `on_offers` is called with the candidates once they are stored, `on_commit`
    with all rows once the shard is visible.
    """

    output: Directory
    fingerprint: str
    on_commit: OnShard = lambda *_: None
    folder: str = SCORES
    on_offers: OnShard = lambda *_: None
    done: set[str] = field(default_factory=set)
    _open: dict[str, _Gathered] = field(default_factory=dict)

    def add(self, rows: pa.Table) -> None:
        """Takes rows of any shards; those of a shard that is done already are dropped."""
        for shard, part in _by_shard(rows):
            if shard not in self.done:
                self._add(shard, part)

    def check_complete(self, shards: Iterable[str]) -> None:
        """Raises RuntimeError if rows of these shards have not come."""
        missing = {*self._open, *shards} - self.done
        if missing:
            raise RuntimeError(
                f"Ray has ended, but rows are missing of {len(missing)} shards, {min(missing)} among them"
            )

    def _add(self, shard: str, rows: pa.Table) -> None:
        gathered = self._open.setdefault(shard, _Gathered())
        indices = rows["index"].to_numpy()
        ends = np.array(rows["status"].to_pylist()) == END_OF_SHARD
        if ends.any():
            gathered.expected = int(indices[ends][0])
        fresh = [not end and gathered.add(int(index)) for index, end in zip(indices, ends, strict=True)]
        gathered.tables.append(rows.filter(pa.array(fresh, pa.bool_())))
        if gathered.whole:
            self._commit(shard, gathered)

    def _commit(self, shard: str, gathered: _Gathered) -> None:
        table = pa.concat_tables(gathered.tables).combine_chunks()
        table = table.take(np.argsort(table["index"].to_numpy(), kind="stable"))
        visible = table.drop_columns([name for name in TELEMETRY if name in table.column_names])
        metadata = {FINGERPRINT_KEY: self.fingerprint, RECORDS_KEY: str(len(table))}
        if OFFERS in visible.column_names:
            offered = _candidates(visible)
            self._put(CANDIDATES, shard, offered, {FINGERPRINT_KEY: self.fingerprint})
            self.on_offers(shard, offered)
            visible = visible.drop_columns(OFFERS)
        if self.folder == SCORES and EMBEDDING in visible.column_names:
            embeddings = visible.select(["key", "shard", "index", EMBEDDING]).filter(visible[EMBEDDING].is_valid())
            self._put(EMBEDDINGS, shard, embeddings, metadata)
            visible = visible.drop_columns(EMBEDDING)
        self._put(self.folder, shard, visible, metadata)
        del self._open[shard]
        self.done.add(shard)
        self.on_commit(shard, table)

    def _put(self, folder: str, shard: str, table: pa.Table, metadata: dict) -> None:
        self.output.put(shard_file(folder, shard), table_bytes(table, metadata))


def _candidates(rows: pa.Table) -> pa.Table:
    """One row for each offer that the rows hold, in the columns of `memory_table`."""
    lists = rows[OFFERS].combine_chunks()
    offers = pa.Table.from_struct_array(lists.flatten())
    keys = rows["key"].fill_null("").take(lists.value_parent_indices())
    return offers.append_column("key", keys).select(["method", "row", "priority", "key", "embedding"])


def _by_shard(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    shards = np.array(rows["shard"].to_pylist(), dtype=object)
    for shard in dict.fromkeys(shards):
        yield shard, rows.filter(pa.array(shards == shard))
