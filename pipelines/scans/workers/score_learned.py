"""The scorer of methods that have learned from the whole input: a Ray actor that completes encoded rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.labels import LabelBank
from ood_core.methods import TANL, ImageMethod, LearningMethod
from pipelines.inputs.plan import Shard
from pipelines.inputs.readers.embeddings import EmbeddingRows
from pipelines.inputs.stored_embeddings import EmbeddingSource
from pipelines.memory.scoring import MemoryScorer, MemoryUse
from pipelines.scan_directory.columns import EMBEDDING, half_precision, scattered, with_scores
from pipelines.scan_directory.encoded import encoded_rows
from pipelines.scan_directory.layout import ENCODED, read_table, shard_file
from pipelines.scan_directory.shard_worker import ShardRows
from pipelines.storage import Directory


@dataclass(frozen=True)
class ScoreLearnedSpec:
    """What a worker needs to complete encoded rows.

    `methods`: the names of all that were asked for, of which `learners` and `choosers` are still to be scored;
    `memory`: by what they have learned. `embeddings`: read where the rows have none; `keep`: the type in which they
    stay in the rows.
    """

    output: Directory
    bank: LabelBank
    methods: tuple[str, ...]
    learners: Mapping[str, LearningMethod]
    choosers: Mapping[str, TANL]
    memory: MemoryUse
    embeddings: EmbeddingSource
    keep: str | None = None
    device: str = "cpu"
    threads: int = 1

    @property
    def due(self) -> dict[str, ImageMethod]:
        """The methods that are still to be scored."""
        return {**self.learners, **self.choosers}


class ScoreLearned:
    """Turns the encoded rows of a shard into rows with all scores."""

    def __init__(self, spec: ScoreLearnedSpec) -> None:
        import torch

        torch.set_num_threads(spec.threads)
        self.spec = spec
        self.score = MemoryScorer(spec.memory, spec.bank, spec.due, spec.device)

    def __call__(self, shard: Shard) -> ShardRows:
        """All rows of a shard."""
        return ShardRows(self.completed(shard, read_table(self.spec.output, shard_file(ENCODED, shard.id))))

    def completed(self, shard: Shard, rows: pa.Table) -> pa.Table:
        """The rows with every score, in the order in which the methods were asked for."""
        parts = [self._part(part) for part in self._embeddings(shard, rows)]
        columns = {name: pa.concat_arrays([part[name] for part in parts]) for name in parts[0]}
        scores = {name: columns.pop(name) for name in self.spec.due}
        table = with_scores(rows, self.spec.methods, scores, columns)
        if EMBEDDING not in table.column_names:
            return table
        rest = table.drop_columns(EMBEDDING)
        return rest.append_column(EMBEDDING, half_precision(rows[EMBEDDING])) if self.spec.keep else rest

    def _embeddings(self, shard: Shard, rows: pa.Table) -> Iterator[EmbeddingRows]:
        yield EmbeddingRows.of([], np.empty((0, self.spec.bank.dim), np.float32))
        if EMBEDDING in rows.column_names:
            yield encoded_rows(rows, self.spec.bank.dim)
        else:
            yield from self.spec.embeddings.rows(shard)

    def _part(self, part: EmbeddingRows) -> dict[str, Any]:
        """Scores by method, and what stands beside them by column, of some rows; null where there is no embedding."""
        import torch

        ok = np.flatnonzero(part.statuses == "ok")
        keys = [part.keys[row] or "" for row in ok.tolist()]
        scores, beside = self.score(torch.from_numpy(part.vectors[ok]), None, keys)
        found: dict[str, Any] = {name: pa.array(values) for name, values in scores.scores.items()}
        return {name: scattered(values, ok, len(part)) for name, values in {**found, **beside}.items()}
