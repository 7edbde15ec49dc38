"""Scores the images of a reference as if they were new to the scan, to see which scores images have that belong."""

from collections.abc import Iterator, Mapping
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
from pipelines.scan_directory.layout import REFERENCE_VOTES
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
        self.spec, self.score, self.known = spec, ScoreEmbeddings(spec.scores), list[Known]()
        if spec.neighbours:
            import ray

            self.known = ray.get(spec.neighbours.known)

    def __call__(self, shard: Shard) -> ShardRows:
        rows = self.score(shard).rows
        names = [name for name in rows.column_names if name.startswith(SCORE_PREFIX)]
        table = rows.select(["shard", "index", "status", *names])
        if self.spec.neighbours:
            for name, values in self._by_neighbours(shard, rows, self.spec.neighbours).items():
                table = table.append_column(name, values)
        return ShardRows(table)

    def _by_neighbours(self, shard: Shard, rows: pa.Table, spec: ByNeighbours) -> dict[str, pa.Array]:
        """The columns of scores that go by neighbours."""
        voted = spec.files.votes(shard.id, REFERENCE_VOTES)
        ok = np.flatnonzero(voted[HASH].is_valid().to_numpy())
        halves = voted[HASH].drop_null().to_numpy() % HALVES
        found: dict[str, pa.Array] = {}
        for chain in _chains(spec.asked):
            base = spec.asked.columns[spec.asked.column(chain)]
            given = log_odds(np.asarray(rows[score_column(base)].to_numpy(), np.float64)[ok], spec.bases[base])
            votes = replace(votes_of(voted), log_odds=given, among=False, in_reference=None)
            values = np.empty(len(ok))
            for half in range(HALVES):
                scored = _scores(self.known[half], chain, votes)
                values[halves == half] = scored[halves == half]
            found[score_column(chain)] = scattered(pa.array(values), ok, len(rows))
        return found


def _chains(asked: Asked) -> list[ChainName]:
    """The methods that go by neighbours, which are called as their chains of sums."""
    names: dict[ChainName, object] = {"consensus": asked.smoothing, "reference": asked.referring}
    return [name for name, chosen in names.items() if chosen]


def _scores(known: Known, chain: ChainName, votes: Votes) -> np.ndarray:
    if chain == "consensus" and known.consensus:
        return known.consensus.scores(votes).score
    if known.referring is None:
        raise TypeError(f"nothing is known by which {chain} could be scored")
    return known.referring.values(votes)


def sum_half(files: ConsensusFiles, half: int, anchors: int, labels: int, shards: pa.Table) -> Iterator[pa.Table]:
    """The sums of the votes of one half of some of the reference's shards, as one cell."""
    nothing = np.zeros(anchors, np.int64), np.zeros(labels, np.int64), np.zeros(labels, np.int64)
    sums = ReferenceSums(0, *nothing)
    for shard in shards["id"].to_pylist():
        table = files.votes(shard, REFERENCE_VOTES)
        chosen = np.asarray(table[HASH].fill_null(0).to_numpy() % HALVES == half) & table[HASH].is_valid().to_numpy()
        sums = sums + ReferenceSums.of(votes_of(table.filter(pa.array(chosen))), anchors, labels)
    yield as_cell(reference_table(sums, 0))
