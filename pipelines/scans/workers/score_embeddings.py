"""The scorer of stored embeddings: a Ray actor that reads the shards that it is given."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ood_core.labels import LabelBank
from ood_core.methods import TANL, ImageMethod, score_column
from pipelines.inputs.plan import Shard
from pipelines.inputs.readers.embeddings import EmbeddingRows
from pipelines.inputs.stored_embeddings import EmbeddingSource, rows_or_why
from pipelines.memory.scoring import MemoryScorer, MemoryUse
from pipelines.scan_directory.columns import free_name, scattered
from pipelines.scan_directory.shard_worker import ShardRows
from pipelines.scans.workers.texts import Texts

if TYPE_CHECKING:
    from torch import Tensor

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

    def noise(self) -> "dict[str, Tensor]":
        """What the image encoder makes of images of noise, by the method that asks for it."""
        asking = {name: chosen for name, chosen in self.methods.items() if isinstance(chosen, TANL)}
        if not asking:
            return {}
        if self.texts.model is None:
            raise TypeError("images of noise are to be encoded, but there is no model")
        from ood_core.scores.tanl_noise import noise_features

        encoder = self.texts.model.load()
        return {name: noise_features(encoder, chosen.seed) for name, chosen in asking.items()}


class ScoreEmbeddings:
    """Turns a shard of embeddings into rows of scores."""

    def __init__(self, spec: ScoreEmbeddingsSpec) -> None:
        import torch

        torch.set_num_threads(spec.threads)
        self.spec = spec
        self.score = MemoryScorer(spec.memory, spec.bank, spec.methods, spec.device, spec.encode())
        self.columns = ScoreColumns(spec.bank)

    def __call__(self, shard: Shard) -> ShardRows:
        """All rows of a shard."""
        tables = [self._table(shard, 0, EmbeddingRows.of([], np.empty((0, self.spec.bank.dim), np.float32)))]
        read_s, index, start = 0.0, 0, time.perf_counter()
        begun = start
        for rows in rows_or_why(self.spec.embeddings, shard):
            read_s += time.perf_counter() - start
            tables.append(self._table(shard, index, rows))
            index, start = index + len(rows), time.perf_counter()
        whole = pa.concat_tables(tables, promote_options="default")
        return ShardRows(whole, {"read_s": read_s, "score_s": time.perf_counter() - begun - read_s})

    def _table(self, shard: Shard, first: int, rows: EmbeddingRows) -> pa.Table:
        import torch

        ok = np.flatnonzero(rows.statuses == "ok")
        scores, more = self.score(
            torch.from_numpy(rows.vectors[ok]), None, [rows.keys[row] or "" for row in ok.tolist()]
        )
        return self.columns.table(shard.id, first, rows, ok, scores, more)


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
            columns[free_name(name, columns)] = values
        return pa.table(columns)

    def _negatives(self, labels: np.ndarray) -> pa.Array:
        texts = pa.array(self.bank.texts[self.bank.id_count :], pa.string())
        return texts.take(pa.array(labels, mask=labels < 0))
