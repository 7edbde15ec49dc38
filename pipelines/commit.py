"""The sink: rows arrive scattered, out of order, sometimes twice; one shard becomes visible at once, in one file."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.stages.decode import END_OF_SHARD
from pipelines.stages.encode import TELEMETRY
from pipelines.storage import Directory

SCORES, EMBEDDINGS = "scores", "embeddings"
FINGERPRINT_KEY, RECORDS_KEY = b"oodscan.fingerprint", b"oodscan.records"


def part_name(shard_id: str) -> str:
    return f"part-{shard_id}.parquet"


def committed(output: Directory, folder: str = SCORES) -> set[str]:
    """Ids of the shards whose scores are visible, or what else the folder holds of each."""
    names = [name for name in output.names(folder) if name.startswith("part-") and name.endswith(".parquet")]
    return {name.removeprefix("part-").removesuffix(".parquet") for name in names}


@dataclass
class _Gathered:
    """What has come of a shard so far. `expected`: its number of records, once its last row is in."""

    tables: list[pa.Table] = field(default_factory=list)
    indices: set[int] = field(default_factory=set)
    expected: int | None = None

    def is_new(self, index: int) -> bool:
        """Whether the record comes for the first time; from now on it does not."""
        before = len(self.indices)
        self.indices.add(index)
        return len(self.indices) > before

    @property
    def whole(self) -> bool:
        return len(self.indices) == self.expected


@dataclass
class Committer:
    """Gathers rows by (shard, index) and commits each shard when its last record is in.

    The file holds the rows in index order and nothing that depends on how they came, so a second attempt writes the
    same bytes. Embeddings are written before the scores: a visible score has its embedding.
    """

    output: Directory
    fingerprint: str
    on_commit: Callable[[str, pa.Table], None]
    folder: str = SCORES
    shards: dict[str, _Gathered] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def add(self, rows: pa.Table) -> None:
        for shard, part in _by_shard(rows):
            if shard not in self.done:
                self._add(shard, part)

    def unfinished(self) -> list[str]:
        return sorted(self.shards)

    def _add(self, shard: str, rows: pa.Table) -> None:
        gathered = self.shards.setdefault(shard, _Gathered())
        indices = rows["index"].to_numpy()
        ends = np.array(rows["status"].to_pylist()) == END_OF_SHARD
        if ends.any():
            gathered.expected = int(indices[ends][0])
        fresh = [not end and gathered.is_new(int(index)) for index, end in zip(indices, ends, strict=True)]
        gathered.tables.append(rows.filter(pa.array(fresh, pa.bool_())))
        if gathered.whole:
            self._commit(shard, gathered)

    def _commit(self, shard: str, gathered: _Gathered) -> None:
        table = pa.concat_tables(gathered.tables).combine_chunks()
        table = table.take(np.argsort(table["index"].to_numpy(), kind="stable"))
        visible = table.drop_columns([name for name in TELEMETRY if name in table.column_names])
        metadata = {FINGERPRINT_KEY: self.fingerprint, RECORDS_KEY: str(len(table))}
        if self.folder == SCORES and "embedding" in visible.column_names:
            embeddings = visible.select(["key", "shard", "index", "embedding"]).filter(visible["embedding"].is_valid())
            self._put(EMBEDDINGS, shard, embeddings, metadata)
            visible = visible.drop_columns("embedding")
        self._put(self.folder, shard, visible, metadata)
        del self.shards[shard]
        self.done.add(shard)
        self.on_commit(shard, table)

    def _put(self, folder: str, shard: str, table: pa.Table, metadata: dict) -> None:
        buffer = io.BytesIO()
        pq.write_table(table.replace_schema_metadata(metadata), buffer, compression="zstd", write_page_checksum=True)
        self.output.put(f"{folder}/{part_name(shard)}", buffer.getvalue())


def _by_shard(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    shards = np.array(rows["shard"].to_pylist(), dtype=object)
    for shard in dict.fromkeys(shards):
        yield shard, rows.filter(pa.array(shards == shard))
