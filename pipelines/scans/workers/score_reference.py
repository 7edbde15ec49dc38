"""Scores the images of a reference as if they were new to the scan, to see which scores images have that belong."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.consensus.log_odds import log_odds
from ood_core.consensus.reference import ReferenceSums
from ood_core.consensus.votes import Votes
from ood_core.methods import ImageMethod, score_column
from pipelines.consensus.asked import Asked, ChainName, Known
from pipelines.consensus.files import ConsensusFiles
from pipelines.consensus.tables import reference_table, votes_of
from pipelines.consensus.workers import HASH
from pipelines.inputs.plan import Shard
from pipelines.runtime.cells import as_cell
from pipelines.scan_directory.columns import SCORE_PREFIX, scattered
from pipelines.scan_directory.layout import REFERENCE_SCORES, REFERENCE_VOTES, read_table, shard_file
from pipelines.scan_directory.shard_worker import ShardRows
from pipelines.scans.workers.score_embeddings import ScoreEmbeddings, ScoreEmbeddingsSpec

HALVES = 2


@dataclass(frozen=True)
class ByNeighbours:
    """What scores by neighbours take. `known`: where Ray holds what was summed up, once for each half of the reference:
    with the votes of the other half."""

    files: ConsensusFiles
    asked: Asked
    bases: Mapping[str, ImageMethod]
    known: Any


@dataclass(frozen=True)
class ScoreReferenceSpec:
    """What the tasks need. `scores`: by what an image is scored by itself; `neighbours`: by what it is by others."""

    scores: ScoreEmbeddingsSpec
    neighbours: ByNeighbours | None


class ScoreReference:
    """Makes a table of the scores of a shard of the reference, a row for every record.

    Its own images would flatter a reference: each half of them, told apart by their embeddings, is scored with the
    other half as the reference.
    """

    def __init__(self, spec: ScoreReferenceSpec) -> None:
        self.spec, self.score = spec, ScoreEmbeddings(spec.scores)
        self.known = _halves(spec.neighbours) if spec.neighbours else []

    def __call__(self, shard: Shard) -> ShardRows:
        rows = self.score(shard).rows
        names = [name for name in rows.column_names if name.startswith(SCORE_PREFIX)]
        table = rows.select(["shard", "index", "status", *names])
        return ShardRows(_with_neighbours(table, shard, self.spec.neighbours, self.known))


class ReviseReference:
    """Makes the scores by neighbours of a shard of the reference anew, in the table of its scores."""

    def __init__(self, neighbours: ByNeighbours) -> None:
        self.neighbours, self.known = neighbours, _halves(neighbours)

    def __call__(self, shard: Shard) -> ShardRows:
        table = read_table(self.neighbours.files.output, shard_file(REFERENCE_SCORES, shard.id))
        table = table.drop_columns([score_column(name) for name in self.neighbours.asked.methods])
        return ShardRows(_with_neighbours(table, shard, self.neighbours, self.known))


def _halves(neighbours: ByNeighbours) -> list[Known]:
    import ray

    return ray.get(neighbours.known)


def _with_neighbours(table: pa.Table, shard: Shard, spec: ByNeighbours | None, known: Sequence[Known]) -> pa.Table:
    """The scores of a shard with those that go by neighbours. `known`: for each half."""
    if spec is None:
        return table
    voted = spec.files.votes(shard.id, REFERENCE_VOTES)
    ok = np.flatnonzero(voted[HASH].is_valid().to_numpy())
    halves = voted[HASH].drop_null().to_numpy() % HALVES
    for chain in spec.asked.methods:
        base = spec.asked.columns[spec.asked.column(chain)]
        given = log_odds(np.asarray(table[score_column(base)].to_numpy(), np.float64)[ok], spec.bases[base])
        votes = replace(votes_of(voted), log_odds=given, among=False, in_reference=None)
        values = np.empty(len(ok))
        for half in range(HALVES):
            scored = _scores(known[half], chain, votes)
            values[halves == half] = scored[halves == half]
        table = table.append_column(score_column(chain), scattered(pa.array(values), ok, len(table)))
    return table


def _scores(known: Known, chain: ChainName, votes: Votes) -> np.ndarray:
    if chain == "consensus" and known.consensus:
        return known.consensus.scores(votes).score
    return known.bases[chain].values(votes)


def sum_half(files: ConsensusFiles, half: int, anchors: int, labels: int, shards: pa.Table) -> Iterator[pa.Table]:
    """The sums of the votes of one half of some of the reference's shards, as one cell."""
    nothing = np.zeros(anchors, np.int64), np.zeros(labels, np.int64), np.zeros(labels, np.int64)
    sums = ReferenceSums(0, *nothing)
    for shard in shards["id"].to_pylist():
        table = files.votes(shard, REFERENCE_VOTES)
        chosen = np.asarray(table[HASH].fill_null(0).to_numpy() % HALVES == half) & table[HASH].is_valid().to_numpy()
        sums = sums + ReferenceSums.of(votes_of(table.filter(pa.array(chosen))), anchors, labels)
    yield as_cell(reference_table(sums, 0))
