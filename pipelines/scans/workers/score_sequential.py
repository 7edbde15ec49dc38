"""Score stored embeddings in sequential order: one process, one pass over all of them."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ood_core.methods import InterNeg
from pipelines.inputs.plan import shards_of
from pipelines.inputs.readers.embeddings import Rows
from pipelines.runtime.pools import packed
from pipelines.scan_directory.columns import with_end
from pipelines.scans.workers.score_embeddings import Rescoring, ScoreColumns, with_telemetry

if TYPE_CHECKING:
    from ood_core.scores import ImageScores
    from ood_core.scores.interneg import Invert


class ScoreInOrder:
    """All shards at once, for methods in sequential order: holds every embedding in memory."""

    def __init__(self, spec: Rescoring) -> None:
        spec.start()
        self.spec, self.columns = spec, ScoreColumns(spec.bank)
        self.encode, self.invert = spec.encode(), self._inverter()
        self.ready = time.time()

    def _inverter(self) -> "Invert | None":
        from ood_core.memory.inversion import Inverter

        chosen = self.spec.methods.get("interneg")
        if not isinstance(chosen, InterNeg) or not chosen.inverts:
            return None
        if self.spec.texts.model is None:
            raise TypeError("images are to be inverted, but there is no model")
        return Inverter(self.spec.texts.model.load(), chosen.steps, chosen.learning_rate)

    def __call__(self, shards: pa.Table) -> Iterator[pa.Table]:
        import torch

        from ood_core.scores import score_dataset

        read = [(shard.id, list(self.spec.rows(shard))) for shard in shards_of(shards)]
        parts = [part for _, rows in read for part in rows]
        good = [np.flatnonzero(part.statuses == "ok") for part in parts]
        vectors = [part.vectors[ok] for part, ok in zip(parts, good, strict=True)]
        keys = [part.keys[row] or "" for part, ok in zip(parts, good, strict=True) for row in ok.tolist()]
        scores = score_dataset(
            self.spec.bank,
            self.spec.methods,
            torch.from_numpy(np.concatenate([np.empty((0, self.spec.bank.dim), np.float32), *vectors])),
            keys,
            encode=self.encode,
            invert=self.invert,
            device=self.spec.device,
        )
        yield from self._tables(read, scores)

    def _tables(self, read: list[tuple[str, list[Rows]]], scores: "ImageScores") -> Iterator[pa.Table]:
        start = 0
        for shard, parts in read:
            first, tables = 0, []
            for rows in [*parts, Rows.of([], np.empty((0, 0), np.float32))]:
                ok = np.flatnonzero(rows.statuses == "ok")
                tables.append(self.columns.table(shard, first, rows, ok, scores.of(start, start + len(ok))))
                first, start = first + len(rows), start + len(ok)
            whole = pa.concat_tables(tables, promote_options="default")
            yield packed(with_end(with_telemetry(whole, self.ready, {}), shard, first))
