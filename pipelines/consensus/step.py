"""The step that looks at images' neighbours, for consensus and for the reference.

Anchors, votes, sums, and the score tables: each is committed as it is done.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import ray

from ood_core.consensus.anchors import Sample, anchor_count
from ood_core.consensus.reference import ReferenceSums
from pipelines.config.pools import ScorePool
from pipelines.consensus.checks import check_images, check_reference
from pipelines.consensus.files import ConsensusFiles
from pipelines.consensus.rounds import Rounds, grouped
from pipelines.consensus.tables import reference_of_table
from pipelines.consensus.workers import (
    ConsensusSpec,
    ScoreByNeighbours,
    Vote,
    VoteOfReference,
    sample,
    sample_of,
    searchable_anchors,
    sum_reference,
)
from pipelines.inputs.plan import Shard, blocks_of
from pipelines.inputs.stored_embeddings import EmbeddingSource
from pipelines.runtime.cells import from_cells
from pipelines.runtime.spread import over_tasks, ranges
from pipelines.scan_directory.commit_over import commit_over
from pipelines.scan_directory.layout import ANCHORS, ENCODED, REFERENCE_VOTES, SCORES, VOTES
from pipelines.scan_directory.run import Run


@dataclass(frozen=True)
class ReferenceShards:
    """The shards of a reference, and where their embeddings are read."""

    shards: Sequence[Shard]
    embeddings: EmbeddingSource


@dataclass(frozen=True)
class ConsensusStep:
    """Scores by images' neighbours, over the scores and embeddings that earlier steps have committed."""

    this_run: Run
    spec: ConsensusSpec
    pool: ScorePool
    reference: ReferenceShards | None = None

    name = "consensus"
    folder = SCORES

    @property
    def needs(self) -> tuple[str, ...]:
        """The folders that the step reads: the scores that it goes by, and where the embeddings lie."""
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
        rounds = Rounds(self.files, self.spec.asked, [shard.id for shard in self.this_run.shards], self._without_gpus)
        rounds.tell(self.spec.verdicts)
        referred = self.reference is None or self.files.reference() is not None
        found = self._searchable(anchors) if unvoted or not referred else None
        if not referred:
            say("consensus: votes of the reference")
            timed("reference_s", lambda: self._reference(len(anchors), found))
        say(f"consensus: votes on {len(anchors)} anchors")
        timed("votes_s", lambda: self._vote(found, unvoted))
        known = timed("rounds_s", rounds.known)
        if known.consensus:
            say(f"consensus: images agree with their neighbours by {known.consensus.agreement:.2f}")
        timed("scores_s", lambda: self._score(ray.put(known), shards))
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
        check_images(self.spec.methods, images)
        together = Sample.together([sample_of(row, self.spec.embeddings.dim) for row in found])
        count = min(anchor_count(images, self.spec.asked.parameters), len(together.hashes))
        anchors = fit_anchors(together, count, self.pool)
        self.files.put_anchors(anchors, self.spec.label_count)
        return anchors

    def _searchable(self, anchors: np.ndarray) -> Any:
        search = ray.remote(num_cpus=self.pool.cpus or 1)(searchable_anchors)
        return search.remote(anchors, self.spec.asked.parameters, self.spec.device)

    def _reference(self, anchors: int, found: Any) -> None:
        """Has the reference vote, and its votes summed up. `found`: the anchors, for Ray."""
        if self.reference is None:
            return
        self.files.remove_sums()
        voted = self.files.voted(REFERENCE_VOTES)
        missing = [shard for shard in self.reference.shards if shard.id not in voted]
        self._commit(REFERENCE_VOTES, self.pool, missing, VoteOfReference, self.spec, found, self.reference.embeddings)
        groups = grouped([shard.id for shard in self.reference.shards], self._without_gpus)
        cells = over_tasks(self._without_gpus, groups, sum_reference, self.files, anchors, self.spec.label_count)
        parts = [reference_of_table(table) for cell in cells for table in from_cells(cell)]
        sums: ReferenceSums = reduce(add, (part for part, _ in parts))
        unusable = sum(count for _, count in parts)
        check_reference(sums.images, unusable)
        self.files.put_reference(sums, unusable)

    def _vote(self, found: Any, shards: Sequence[Shard]) -> None:
        if shards:
            reference = [shard.id for shard in self.reference.shards] if self.reference else []
            self._commit(VOTES, self.pool, shards, Vote, self.spec, found, reference)

    def _score(self, known: Any, shards: Sequence[Shard]) -> None:
        self._commit(SCORES, self._without_gpus, shards, ScoreByNeighbours, self.spec, known)

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
