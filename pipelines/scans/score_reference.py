"""The step that scores the reference's images, for thresholds that keep most of what belongs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import pyarrow as pa
import ray

from ood_core.methods import ImageMethod
from pipelines.config.pools import ScorePool
from pipelines.consensus.asked import Asked
from pipelines.consensus.files import ConsensusFiles, voted_label_count
from pipelines.consensus.tables import reference_of_table
from pipelines.inputs.plan import Shard
from pipelines.memory.scoring import MemoryUse
from pipelines.runtime.cells import from_cells
from pipelines.runtime.spread import over_tasks
from pipelines.scan_directory.commit_over import commit_over
from pipelines.scan_directory.layout import ANCHORS, REFERENCE_SCORES, REFERENCE_VOTES, SCORES, committed, read_table
from pipelines.scan_directory.run import Run
from pipelines.scans.workers.score_embeddings import ScoreEmbeddingsSpec
from pipelines.scans.workers.score_reference import (
    HALVES,
    ByNeighbours,
    ReviseReference,
    ScoreReference,
    ScoreReferenceSpec,
    sum_half,
)


@dataclass(frozen=True)
class ScoreReferenceStep:
    """Commits the scores of the reference's images.

    `spec`: of the methods that need no neighbours; `asked`: of those that do; `memory`: what methods have learned, once
    they have.
    """

    this_run: Run
    shards: Sequence[Shard]
    spec: ScoreEmbeddingsSpec
    pool: ScorePool
    asked: Asked | None
    memory: Callable[[], MemoryUse]

    name = "score reference"
    folder = REFERENCE_SCORES
    needs = (SCORES, REFERENCE_VOTES)

    def reads(self, shards: Sequence[Shard]) -> list[Shard]:
        """Those given: all must be scored first."""
        return list(shards)

    def run(self, shards: Sequence[Shard]) -> dict[str, Any]:  # noqa: ARG002
        """Commits the shards of the reference that are not committed yet."""
        due = self.this_run.missing(REFERENCE_SCORES, self.shards)
        if due:
            self.this_run.say("scoring the reference, each half by the other")
            scores = replace(self.spec, memory=self.memory())
            neighbours = None
            if self.asked:
                neighbours = by_neighbours(self.this_run, self.shards, self.asked, self.spec.methods, self.pool)
            spec = ScoreReferenceSpec(scores, neighbours)
            committer = self.this_run.committer(REFERENCE_SCORES)
            receipts = commit_over(self.pool, due, committer, ScoreReference, (spec,))
            self.this_run.receive(REFERENCE_SCORES, due, receipts)
        return {}


def revise_reference(
    run: Run, shards: Sequence[Shard], asked: Asked, methods: Mapping[str, ImageMethod], pool: ScorePool
) -> None:
    """Has the scores by neighbours of the reference made anew, after other verdicts; does nothing if it has no scores.

    `shards`: of the reference; `methods`: those that score images by themselves.
    """
    scored = committed(run.output, REFERENCE_SCORES)
    due = [shard for shard in shards if shard.id in scored]
    if due and set(asked.bases) <= methods.keys():
        neighbours = by_neighbours(run, shards, asked, methods, pool)
        committer = replace(run.committer(REFERENCE_SCORES), again=frozenset(scored))
        run.receive(REFERENCE_SCORES, due, commit_over(pool, due, committer, ReviseReference, (neighbours,)))


def by_neighbours(
    run: Run, shards: Sequence[Shard], asked: Asked, methods: Mapping[str, ImageMethod], pool: ScorePool
) -> ByNeighbours:
    """What scoring the reference by neighbours takes, once all sums are known. `shards`: of the reference."""
    files = ConsensusFiles(run.output, run.fingerprint)
    known, anchors = files.known(asked), read_table(files.output, ANCHORS, ["anchor"])
    sums = [_half(files, half, len(anchors), voted_label_count(anchors), shards, pool) for half in range(HALVES)]
    return ByNeighbours(files, asked, methods, ray.put([known.by(sums[1 - half]) for half in range(HALVES)]))


def _half(files: ConsensusFiles, half: int, anchors: int, labels: int, shards: Sequence[Shard], pool: ScorePool) -> Any:
    """What one half of the reference has voted for."""
    group = [pa.table({"id": [shard.id for shard in shards]})]
    cells = over_tasks(pool.model_copy(update={"gpus": None}), group, sum_half, files, half, anchors, labels)
    return reduce(add, (reference_of_table(table)[0] for cell in cells for table in from_cells(cell)))
