"""The scorer of stored embeddings: a Ray actor that reads the shards that it is given."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ood_core.labels import LabelBank
from ood_core.methods import ImageMethod, score_column
from pipelines.inputs.plan import Shard, shards_of
from pipelines.inputs.readers.embeddings import EmbeddingRows
from pipelines.inputs.stored_embeddings import EmbeddingSource
from pipelines.memory.scoring import MemoryScorer, MemoryUse
from pipelines.scan_directory.columns import (
    ENCODER_READY,
    RESERVED,
    RESERVED_PREFIXES,
    TIMES,
    scattered,
    with_end_of_shard,
)
from pipelines.scans.workers.texts import Texts

if TYPE_CHECKING:
    from ood_core.scores import ImageScores
    from ood_core.scores.batch import EncodeWords


@dataclass(frozen=True)
class ScoreEmbeddingsSpec:
    """What a worker needs to score stored embeddings. `texts`: embeddings of further texts; `memory`: what to do with
    one."""

    bank: LabelBank
    methods: Mapping[str, ImageMethod]
    embeddings: EmbeddingSource
    texts: Texts
    device: str = "cpu"
    threads: int = 1
    memory: MemoryUse = field(default_factory=MemoryUse)

    def encode(self) -> "EncodeWords | None":
        """The text encoder, None if no method needs one for its scores."""
        needed = any(chosen.needs_texts for chosen in self.methods.values())
        return self.texts.encode(self.device) if needed else None


class ScoreEmbeddings:
    """Turns shards of embeddings into tables of scores, each shard's last row of status END_OF_SHARD."""

    def __init__(self, spec: ScoreEmbeddingsSpec) -> None:
        import torch

        torch.set_num_threads(spec.threads)
        self.spec = spec
        self.score = MemoryScorer(spec.memory, spec.bank, spec.methods, spec.device, spec.encode())
        self.columns = ScoreColumns(spec.bank)
        self.ready = time.time()

    def __call__(self, shards: pa.Table) -> Iterator[pa.Table]:
        """For Ray Data: tables of any rows of the shards."""
        for shard in shards_of(shards):
            yield from self.tables(shard)

    def tables(self, shard: Shard) -> Iterator[pa.Table]:
        """A shard's rows in some tables, the last of which ends with the shard's end row."""
        waiting = self._table(shard, 0, EmbeddingRows.of([], np.empty((0, self.spec.bank.dim), np.float32)), 0.0)
        index, start = 0, time.perf_counter()
        for rows in self.spec.embeddings.rows(shard):
            table = self._table(shard, index, rows, time.perf_counter() - start)
            if index:
                yield waiting
            waiting, index, start = table, index + len(rows), time.perf_counter()
        yield with_end_of_shard(waiting, shard.id, index)

    def _table(self, shard: Shard, first: int, rows: EmbeddingRows, read_s: float) -> pa.Table:
        import torch

        start = time.perf_counter()
        ok = np.flatnonzero(rows.statuses == "ok")
        scores, more = self.score(
            torch.from_numpy(rows.vectors[ok]), None, [rows.keys[row] or "" for row in ok.tolist()]
        )
        table = self.columns.table(shard.id, first, rows, ok, scores, more)
        each = 1 / max(1, len(rows))
        seconds = {"read_s": read_s * each, "score_s": (time.perf_counter() - start) * each}
        return with_telemetry(table, self.ready, seconds)


@dataclass(frozen=True)
class ScoreColumns:
    """Makes rows of a score table from scores of embeddings."""

    bank: LabelBank

    def table(
        self,
        shard: str,
        first: int,
        rows: EmbeddingRows,
        ok: np.ndarray,
        scores: "ImageScores",
        more: Mapping[str, pa.Array] = MappingProxyType({}),
    ) -> pa.Table:
        """The rows of a shard from number `first` on. `ok`: those that have scores; `more`: further columns of these.

        Columns of the input whose names a score table reserves become `input_<name>`.
        """
        count, texts = len(rows), self.bank.texts
        columns: dict[str, Any] = {
            "shard": pa.array([shard] * count, pa.string()),
            "index": pa.array(np.arange(first, first + count), pa.int64()),
            "key": pa.array(rows.keys, pa.string()),
            "status": pa.array(rows.statuses, pa.string()),
            "error": pa.array(rows.errors, pa.string()),
            "width": pa.nulls(count, pa.int32()),
            "height": pa.nulls(count, pa.int32()),
            "id_label": scattered(pa.array(texts[: self.bank.id_count]).take(pa.array(scores.id_label)), ok, count),
            "id_probability": scattered(pa.array(scores.id_probability), ok, count),
            "negative_label": scattered(self._negatives(scores.negative_label), ok, count),
        }
        for name, values in scores.scores.items():
            columns[score_column(name)] = scattered(pa.array(values), ok, count)
        for name, values in more.items():
            columns[name] = scattered(values, ok, count)
        for name, values in rows.extra.items():
            columns[_free_name(name, columns)] = values
        return pa.table(columns)

    def _negatives(self, labels: np.ndarray) -> pa.Array:
        texts = pa.array(self.bank.texts[self.bank.id_count :], pa.string())
        return texts.take(pa.array(labels, mask=labels < 0))


def _free_name(name: str, taken: Iterable[str]) -> str:
    while name in taken or name in RESERVED or name.startswith(RESERVED_PREFIXES):
        name = f"input_{name}"
    return name


def with_telemetry(table: pa.Table, ready: float, seconds: Mapping[str, float]) -> pa.Table:
    """The table with the columns of `TELEMETRY`. `ready`: when the worker was; `seconds`: that each row took, by column
    of `TIMES`."""
    for name in TIMES:
        table = table.append_column(name, pa.array(np.full(len(table), seconds.get(name, 0.0))))
    return table.append_column(ENCODER_READY, pa.array(np.full(len(table), ready)))
