"""Finish what a first pass has begun: its rows get the scores of the methods that have learned from all of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ood_core.labels import LabelBank
from ood_core.methods import Parameters, score_column
from pipelines.memory.scoring import Remembering, RememberingScorer
from pipelines.scan_directory.columns import EMBEDDING, halved, placed, with_end
from pipelines.scan_directory.layout import FIRST_PASS, part_name, table_of
from pipelines.storage import Directory


@dataclass(frozen=True)
class SecondPass:
    """What a worker needs. `methods`: all that were asked for, of which `learners` are still to be scored, by what they
    have learned (`remembering`); `embeddings`: whether they are kept."""

    output: Directory
    bank: LabelBank
    methods: tuple[str, ...]
    learners: Mapping[str, Parameters]
    remembering: Remembering
    embeddings: bool = False
    device: str = "cpu"
    threads: int = 1


class FinishShards:
    """Ids of shards to tables of scores, each with the shard's end row behind it."""

    def __init__(self, spec: SecondPass) -> None:
        import torch

        torch.set_num_threads(spec.threads)
        self.spec = spec
        self.score = RememberingScorer(spec.remembering, spec.bank, spec.learners, spec.device)

    def __call__(self, shards: pa.Table) -> Iterator[pa.Table]:
        for shard in shards["id"].to_pylist():
            table = table_of(self.spec.output.read(f"{FIRST_PASS}/{part_name(shard)}"))
            yield with_end(self.finished(table), shard, len(table))

    def finished(self, rows: pa.Table) -> pa.Table:
        """The rows with every score, in the order in which the methods were asked for."""
        import torch

        vectors = rows[EMBEDDING].combine_chunks()
        ok = np.flatnonzero(vectors.is_valid().to_numpy(False))
        values = vectors.flatten().to_numpy().reshape(len(ok), self.spec.bank.dim)
        scores, more = self.score(torch.from_numpy(values.copy()), None, rows["key"].take(ok).to_pylist())
        found = scores.scores
        first = [score_column(name) for name in self.spec.methods if name not in found]
        table = rows.drop_columns([*first, EMBEDDING])
        for name in self.spec.methods:
            column = score_column(name)
            values_of = placed(pa.array(found[name]), ok, len(rows)) if name in found else rows[column]
            table = table.append_column(column, values_of)
        for column, values_of in more.items():
            table = table.append_column(column, placed(values_of, ok, len(rows)))
        if self.spec.embeddings:
            table = table.append_column(EMBEDDING, halved(rows[EMBEDDING]))
        return table
