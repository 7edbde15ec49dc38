"""Score stored embeddings: Ray actors around `ood_core`, each reading the shards that it is given."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ood_core.labels import LabelBank
from ood_core.methods import Parameters, score_column
from pipelines.config.rescore import ReadEmbeddings
from pipelines.inputs.embedding_plan import read_rows
from pipelines.inputs.plan import Shard, shards_of
from pipelines.inputs.readers.embeddings import Rows
from pipelines.memory.scoring import Remembering, RememberingScorer
from pipelines.scan_directory.columns import (
    ANCHOR,
    EMBEDDING,
    OFFERS,
    OURS,
    SHIFT,
    TELEMETRY,
    TIMES,
    VERSION,
    WEIGHT,
    placed,
    with_end,
)
from pipelines.scans.workers.texts import Texts

if TYPE_CHECKING:
    from ood_core.scores import ImageScores
    from ood_core.scores.batch import EncodeWords


@dataclass(frozen=True)
class Rescoring:
    """What a worker needs to score embeddings."""

    bank: LabelBank
    methods: Mapping[str, Parameters]
    read: ReadEmbeddings
    options: Mapping[str, Any]
    texts: Texts
    device: str = "cpu"
    threads: int = 1

    def rows(self, shard: Shard) -> Iterator[Rows]:
        return read_rows(shard, self.read, self.bank.dim, self.options)

    def encode(self) -> "EncodeWords | None":
        """A text encoder, if a method needs one for its scores."""
        return self.texts.encode(self.device) if "negrefine" in self.methods else None

    def start(self) -> None:
        import torch

        torch.set_num_threads(self.threads)


class ScoreEmbeddings:
    """Shards of embeddings to tables of scores, each shard's last row of status END_OF_SHARD."""

    def __init__(self, spec: Rescoring, remembering: Remembering = Remembering()) -> None:  # noqa: B008, it is frozen
        spec.start()
        self.spec = spec
        self.score = RememberingScorer(remembering, spec.bank, spec.methods, spec.device, spec.encode())
        self.columns = ScoreColumns(spec.bank)
        self.ready = time.time()

    def __call__(self, shards: pa.Table) -> Iterator[pa.Table]:
        for shard in shards_of(shards):
            yield from self.tables(shard)

    def tables(self, shard: Shard) -> Iterator[pa.Table]:
        """The last table ends with the shard's end row, so a shard without rows is one of that row alone."""
        waiting = self._table(shard, 0, Rows.of([], np.empty((0, self.spec.bank.dim), np.float32)), 0.0)
        index, start = 0, time.perf_counter()
        for rows in self.spec.rows(shard):
            table = self._table(shard, index, rows, time.perf_counter() - start)
            if index:
                yield waiting
            waiting, index, start = table, index + len(rows), time.perf_counter()
        yield with_end(waiting, shard.id, index)

    def _table(self, shard: Shard, first: int, rows: Rows, read_s: float) -> pa.Table:
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
    """Rows of a score table from scores."""

    bank: LabelBank

    def table(
        self,
        shard: str,
        first: int,
        rows: Rows,
        ok: np.ndarray,
        scores: "ImageScores",
        more: Mapping[str, pa.Array] = MappingProxyType({}),
    ) -> pa.Table:
        """`more`: further columns of ours, of the good rows. Columns of the input that have a name of ours become
        `input_<name>`."""
        count, texts = len(rows), self.bank.texts
        columns: dict[str, Any] = {
            "shard": pa.array([shard] * count, pa.string()),
            "index": pa.array(np.arange(first, first + count), pa.int64()),
            "key": pa.array(rows.keys, pa.string()),
            "status": pa.array(rows.statuses, pa.string()),
            "error": pa.array(rows.errors, pa.string()),
            "width": pa.nulls(count, pa.int32()),
            "height": pa.nulls(count, pa.int32()),
            "id_label": placed(pa.array(texts[: self.bank.id_count]).take(pa.array(scores.id_label)), ok, count),
            "id_probability": placed(pa.array(scores.id_probability), ok, count),
            "negative_label": placed(self._negatives(scores.negative_label), ok, count),
        }
        for name, values in scores.scores.items():
            columns[score_column(name)] = placed(pa.array(values), ok, count)
        for name, values in more.items():
            columns[name] = placed(values, ok, count)
        for name, values in rows.extra.items():
            columns[_free_name(name, columns)] = values
        return pa.table(columns)

    def _negatives(self, labels: np.ndarray) -> pa.Array:
        texts = pa.array(self.bank.texts[self.bank.id_count :], pa.string())
        return texts.take(pa.array(labels, mask=labels < 0))


def _free_name(name: str, taken: Iterable[str]) -> str:
    ours = (*TELEMETRY, OFFERS, VERSION, ANCHOR, WEIGHT, SHIFT, EMBEDDING)
    while name in taken or name in ours or name.startswith(OURS):
        name = f"input_{name}"
    return name


def with_telemetry(table: pa.Table, ready: float, seconds: Mapping[str, float]) -> pa.Table:
    """The table with what `summary.json` tells of the time that each row took."""
    for name in TIMES:
        table = table.append_column(name, pa.array(np.full(len(table), seconds.get(name, 0.0))))
    return table.append_column("encoder_ready", pa.array(np.full(len(table), ready)))
