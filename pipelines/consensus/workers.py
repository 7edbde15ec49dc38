"""Ray tasks of consensus over shards: sample for anchors, vote, sum up, and score."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.consensus.agreement import Agreement
from ood_core.consensus.anchors import Sample
from ood_core.consensus.log_odds import log_odds
from ood_core.methods import Consensus, ImageMethod, score_column
from pipelines.consensus.files import ConsensusFiles, sums_table, votes_of, votes_table
from pipelines.inputs.plan import Shard, shards_of
from pipelines.inputs.readers.embeddings import EmbeddingRows
from pipelines.inputs.stored_embeddings import EmbeddingSource
from pipelines.runtime.cells import as_cell
from pipelines.scan_directory.columns import (
    ANCHOR,
    EMBEDDING,
    SHIFT,
    WEIGHT,
    half_precision,
    scattered,
    with_scores,
)
from pipelines.scan_directory.layout import read_table, shard_file
from pipelines.scan_directory.shard_worker import ShardRows


@dataclass(frozen=True)
class ConsensusSpec:
    """What the tasks of consensus need.

    `base`: the parameters of the method whose scores are smoothed; `scores`: the folder of the rows that hold them;
    `methods`: all that were asked for, in their order; `keep_embeddings`: those that the rows hold.
    """

    files: ConsensusFiles
    parameters: Consensus
    base: ImageMethod
    embeddings: EmbeddingSource
    scores: str
    methods: Sequence[str]
    keep_embeddings: bool
    device: str
    threads: int

    def table(self, shard: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a shard with their scores, or some of their columns."""
        return read_table(self.files.output, shard_file(self.scores, shard), columns)


def sample(embeddings: EmbeddingSource, images: int, shards: pa.Table) -> Iterator[pa.Table]:
    """One row for each shard: how many good images it has, and which of them may be in the sample for the anchors.

    `images`: how many the whole scan has.
    """
    for shard in shards_of(shards):
        good, parts = 0, [Sample.of([], np.empty((0, embeddings.dim), np.float32), images)]
        for rows in embeddings.rows(shard):
            ok = np.flatnonzero(rows.statuses == "ok")
            good += len(ok)
            parts.append(Sample.of([rows.keys[row] or "" for row in ok.tolist()], rows.vectors[ok], images))
        found = Sample.together(parts)
        cells = (array.tobytes() for array in (found.hashes, found.embeddings))
        as_bytes = (pa.array([cell], pa.large_binary()) for cell in cells)
        yield pa.table([pa.array([good]), *as_bytes], names=["images", "hashes", "embeddings"])


def sample_of(row: dict[str, Any], dim: int) -> Sample:
    """The sample that a row of `sample` holds."""
    embeddings = np.frombuffer(row["embeddings"], np.float32).reshape(-1, dim)
    return Sample(np.frombuffer(row["hashes"], np.uint64), embeddings)


def searchable_anchors(anchors: np.ndarray, parameters: Consensus, device: str) -> Any:
    """The anchors as `Voting` searches them: made once, by a task, for all workers."""
    from ood_core.consensus.voting import searchable

    return searchable(anchors, parameters, device)


class Vote:
    """Makes the votes of a shard, a row for every record. `anchors`: where Ray holds the `searchable_anchors`."""

    def __init__(self, spec: ConsensusSpec, anchors: Any) -> None:
        import ray
        import torch

        from ood_core.consensus.voting import Voting

        torch.set_num_threads(spec.threads)
        self.spec, self.voting = spec, Voting(ray.get(anchors), spec.parameters, spec.device)

    def __call__(self, shard: Shard) -> ShardRows:
        column = score_column(self.spec.parameters.base)
        scores = self.spec.table(shard.id, [column])[column].to_numpy()
        nothing = EmbeddingRows.of([], np.empty((0, self.spec.embeddings.dim), np.float32))
        tables, count = [], 0
        for rows in itertools.chain([nothing], self.spec.embeddings.rows(shard)):
            tables.append(self._votes(shard.id, count, rows, scores))
            count += len(rows)
        return ShardRows(pa.concat_tables(tables))

    def _votes(self, shard: str, first: int, rows: EmbeddingRows, scores: np.ndarray) -> pa.Table:
        """The votes of some rows of a shard, from number `first` on. `scores`: of all its rows."""
        import torch

        ok = np.flatnonzero(rows.statuses == "ok")
        base = log_odds(scores[first + ok], self.spec.base)
        votes = votes_table(self.voting(torch.from_numpy(rows.vectors[ok]), base))
        columns = {name: scattered(votes[name].combine_chunks(), ok, len(rows)) for name in votes.column_names}
        index = pa.array(np.arange(first, first + len(rows)))
        return pa.table({"shard": pa.array([shard] * len(rows), pa.string()), "index": index, **columns})


def sum_up(files: ConsensusFiles, agreement: Any, shards: pa.Table) -> Iterator[pa.Table]:
    """The sums of the next round over a group of shards, as one cell. `agreement`: in Ray's object store."""
    import ray

    known: Agreement = ray.get(agreement)
    parts = (known.sums(votes_of(files.votes(shard))) for shard in shards["id"].to_pylist())
    yield as_cell(sums_table(reduce(add, parts)))


class ScoreByConsensus:
    """Makes the score table of a shard. `agreement`: in Ray's object store."""

    def __init__(self, spec: ConsensusSpec, agreement: Any) -> None:
        import ray

        self.spec = spec
        self.known: Agreement = ray.get(agreement)

    def __call__(self, shard: Shard) -> ShardRows:
        rows, votes = self.spec.table(shard.id), self.spec.files.votes(shard.id)
        table = with_consensus(rows, votes, self.known, self.spec.methods)
        return ShardRows(_with_kept_embeddings(table, self.spec.keep_embeddings))


def with_consensus(rows: pa.Table, voted: pa.Table, known: Agreement, methods: Sequence[str]) -> pa.Table:
    """The rows with the score by consensus and its columns. `voted`: their votes, one row a record."""
    ok = np.flatnonzero(voted["log_odds"].is_valid().to_numpy())
    votes = votes_of(voted)
    smoothed = known.scores(votes)
    beside = {ANCHOR: votes.anchors[:, 0], WEIGHT: smoothed.weight, SHIFT: smoothed.shift}
    return with_scores(
        rows,
        methods,
        {"consensus": scattered(pa.array(smoothed.score), ok, len(rows))},
        {name: scattered(pa.array(values), ok, len(rows)) for name, values in beside.items()},
    )


def _with_kept_embeddings(table: pa.Table, keep: bool) -> pa.Table:
    """The table with its embeddings in half precision if they are kept, else without."""
    if EMBEDDING not in table.column_names:
        return table
    rest = table.drop_columns(EMBEDDING)
    return rest.append_column(EMBEDDING, half_precision(table[EMBEDDING])) if keep else rest
