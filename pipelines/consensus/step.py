"""The consensus step: anchors, votes, rounds, and the score tables. Each of the four is committed as it is done."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from ood_core.consensus.agreement import Agreement
from ood_core.consensus.anchors import Sample, anchor_count
from pipelines.config.pools import ScorePool
from pipelines.consensus.checks import check_images
from pipelines.consensus.files import ConsensusFiles, sums_of
from pipelines.consensus.workers import (
    ConsensusSpec,
    ScoreByConsensus,
    Vote,
    sample,
    sample_of,
    searchable_anchors,
    sum_up,
)
from pipelines.inputs.plan import Shard, blocks_of
from pipelines.runtime.cells import from_cells
from pipelines.runtime.spread import over_tasks, ranges
from pipelines.scan_directory.commit_over import commit_over
from pipelines.scan_directory.layout import ANCHORS, ENCODED, SCORES, VOTES
from pipelines.scan_directory.run import Run

GROUPS_A_WORKER = 4
"""Groups of shards for each worker that the sums of a round are cut into."""


@dataclass(frozen=True)
class ConsensusStep:
    """Scores by consensus, over the scores and embeddings that earlier steps have committed."""

    this_run: Run
    spec: ConsensusSpec
    pool: ScorePool

    name = "consensus"
    folder = SCORES

    @property
    def needs(self) -> tuple[str, ...]:
        """The folders that the step reads: the scores that it smooths, and where the embeddings lie."""
        return tuple({ENCODED, self.spec.scores})

    @property
    def files(self) -> ConsensusFiles:
        return self.spec.files

    def reads(self, shards: Sequence[Shard]) -> list[Shard]:
        """The shards whose scores are needed: those given, and all that have not voted."""
        wanted = {shard.id for shard in shards}
        return [*shards, *(shard for shard in self._unvoted() if shard.id not in wanted)]

    def run(self, shards: Sequence[Shard]) -> dict[str, Any]:
        """Commits the score tables of the shards. Returns how long each part took, in seconds."""
        seconds: dict[str, float] = {}

        def timed(name: str, work: Callable[[], Any]) -> Any:
            start = time.time()
            found = work()
            seconds[name] = time.time() - start
            return found

        say, unvoted = self.this_run.say, self._unvoted()
        if unvoted:
            self.files.remove_sums()
        if not self.files.output.exists(ANCHORS):
            self.files.clear()
        say("consensus: anchors")
        anchors = timed("anchors_s", lambda: self._anchors(unvoted))
        say(f"consensus: votes on {len(anchors)} anchors")
        timed("votes_s", lambda: self._vote(anchors, unvoted))
        agreement = timed("rounds_s", lambda: self._agreement(len(anchors)))
        say(f"consensus: images agree with their neighbours by {agreement.agreement:.2f}")
        timed("scores_s", lambda: self._score(ray.put(agreement), shards))
        return {"consensus": seconds}

    def _unvoted(self) -> list[Shard]:
        """The planned shards without votes on the anchors; all of them if there are no anchors."""
        voted = self.files.voted() if self.files.output.exists(ANCHORS) else set()
        return [shard for shard in self.this_run.shards if shard.id not in voted]

    def _anchors(self, shards: Sequence[Shard]) -> np.ndarray:
        """The anchors, unit vectors; those of an earlier run if they are there. `shards`: all, if they are not."""
        known = self.files.anchors()
        if known is not None:
            return known
        rows = self.spec.embeddings.count(shards)
        groups = blocks_of(ranges(shards, self.pool.workers or 1))
        tables = over_tasks(self._without_gpus, groups, sample, self.spec.embeddings, rows)
        found = [row for table in tables for row in table.to_pylist()]
        images = sum(row["images"] for row in found)
        check_images(images)
        together = Sample.together([sample_of(row, self.spec.embeddings.dim) for row in found])
        count = min(anchor_count(images, self.spec.parameters), len(together.hashes))
        anchors = fit_anchors(together, count, self.pool)
        self.files.put_anchors(anchors)
        return anchors

    def _vote(self, anchors: np.ndarray, shards: Sequence[Shard]) -> None:
        if shards:
            search = ray.remote(num_cpus=self.pool.cpus or 1)(searchable_anchors)
            found = search.remote(anchors, self.spec.parameters, self.spec.device)
            self._commit(VOTES, self.pool, shards, Vote, self.spec, found)

    def _agreement(self, anchors: int) -> Agreement:
        """The outcome of all rounds; the sums of those that an earlier run has come to are read."""
        known = Agreement(self.spec.parameters, anchors, tuple(self.files.sums()))
        ids = [shard.id for shard in self.this_run.shards]
        size = -(-len(ids) // (GROUPS_A_WORKER * (self.pool.least_workers or self.pool.workers or 1)))
        groups = [pa.table({"id": ids[start : start + size]}) for start in range(0, len(ids), size)]
        while not known.finished:
            tables = over_tasks(self._without_gpus, groups, sum_up, self.files, ray.put(known))
            sums = reduce(add, (sums_of(table) for cells in tables for table in from_cells(cells)))
            self.files.put_sums(len(known.known), sums)
            known = known.after(sums)
        return known

    def _score(self, agreement: Any, shards: Sequence[Shard]) -> None:
        self._commit(SCORES, self._without_gpus, shards, ScoreByConsensus, self.spec, agreement)

    def _commit(self, folder: str, pool: ScorePool, shards: Sequence[Shard], make: Any, *arguments: Any) -> None:
        """Has tasks commit to the folder what they make of these shards."""
        receipts = commit_over(pool, shards, self.this_run.committer(folder), make, arguments)
        self.this_run.receive(folder, shards, receipts)

    @property
    def _without_gpus(self) -> ScorePool:
        """The pool for tasks that only read and add up."""
        return self.pool.model_copy(update={"gpus": None})


def fit_anchors(found: Sample, count: int, pool: ScorePool) -> np.ndarray:
    """The anchors of a sample, unit vectors [count, dim].

    By one task with all cores of its node: nobody else has anything to do meanwhile.
    """

    def fit(together: Sample) -> np.ndarray:
        import os

        import faiss

        faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
        return together.anchors(count)

    return ray.get(ray.remote(num_cpus=pool.cpus or 1)(fit).remote(ray.put(found)))
