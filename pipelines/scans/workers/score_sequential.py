"""The scorer of stored embeddings in sequential order: one actor that goes over all of them, as the papers do."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ood_core.methods import LearningMethod
from pipelines.inputs.plan import shards_of
from pipelines.inputs.readers.embeddings import EmbeddingRows
from pipelines.inputs.stored_embeddings import rows_or_why
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.receipts import receipts_table
from pipelines.scans.workers.score_embeddings import ScoreColumns, ScoreEmbeddingsSpec

if TYPE_CHECKING:
    from ood_core.scores import ImageScores
    from ood_core.scores.interneg import Invert


class ScoreInSequence:
    """Commits the scores of all shards at once; holds every embedding in memory. `wanted`: those that are committed."""

    def __init__(self, committer: Committer, spec: ScoreEmbeddingsSpec, wanted: frozenset[str]) -> None:
        import torch

        torch.set_num_threads(spec.threads)
        self.committer, self.spec, self.wanted, self.columns = committer, spec, wanted, ScoreColumns(spec.bank)
        self.encode, self.invert, self.noise = spec.encode(), self._inverter(), spec.noise()
        self.ready = time.time()

    def _inverter(self) -> "Invert | None":
        """What turns images into words for the method that asks for it, None if none does."""
        chosen = next((chosen for chosen in self.spec.methods.values() if chosen.inverts), None)
        if not isinstance(chosen, LearningMethod):
            return None
        if self.spec.texts.model is None:
            raise TypeError("images are to be inverted, but there is no model")
        return chosen.inverter(self.spec.texts.model.load())

    def __call__(self, shards: pa.Table) -> Iterator[pa.Table]:
        """For Ray Data: the receipts of the wanted shards. `shards`: all."""
        import torch

        from ood_core.scores import score_dataset

        start = time.perf_counter()
        read = [(shard.id, list(rows_or_why(self.spec.embeddings, shard))) for shard in shards_of(shards)]
        read_s, start = time.perf_counter() - start, time.perf_counter()
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
            noise=self.noise,
            device=self.spec.device,
        )
        score_s, share = time.perf_counter() - start, 1 / len(read)
        times = {"ready": self.ready, "read_s": read_s * share, "score_s": score_s * share}
        yield receipts_table(
            self.committer.commit(shard, rows, times)
            for shard, rows in self._tables(read, scores)
            if shard in self.wanted
        )

    def _tables(
        self, read: list[tuple[str, list[EmbeddingRows]]], scores: "ImageScores"
    ) -> Iterator[tuple[str, pa.Table]]:
        """All rows of each shard."""
        start = 0
        for shard, parts in read:
            first, tables = 0, []
            for rows in [*parts, EmbeddingRows.of([], np.empty((0, 0), np.float32))]:
                ok = np.flatnonzero(rows.statuses == "ok")
                tables.append(self.columns.table(shard, first, rows, ok, scores.of(start, start + len(ok))))
                first, start = first + len(rows), start + len(ok)
            yield shard, pa.concat_tables(tables, promote_options="default")


def score_in_sequence(
    committer: Committer, spec: ScoreEmbeddingsSpec, wanted: frozenset[str], shards: pa.Table
) -> Iterator[pa.Table]:
    """As `ScoreInSequence`, for a task."""
    yield from ScoreInSequence(committer, spec, wanted)(shards)
