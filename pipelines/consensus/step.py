"""Consensus after the base scores: anchors, votes, rounds, and the score tables. Every step is committed."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from ood_core.consensus.agreement import Agreement
from ood_core.consensus.anchors import Sample, anchor_count
from ood_core.methods import MIN_ANCHORS, Consensus, Parameters, consensus_of
from pipelines.config.pools import ScorePool
from pipelines.consensus.files import ANCHORS, ConsensusFiles, sums_of
from pipelines.consensus.workers import Consenting, sample, sampled, score, sum_up, vote
from pipelines.errors import CallerError
from pipelines.inputs.plan import Shard, blocks_of
from pipelines.runtime.pools import by_tasks, unpacked
from pipelines.runtime.progress import Say
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.finish import counting
from pipelines.scan_directory.layout import FIRST_PASS, SCORES, VOTES
from pipelines.scan_directory.summary import Clock, Tally
from pipelines.storage import Directory

OnCommit = Callable[[str, pa.Table], None]
GROUPS_A_WORKER = 4
"""Into so many groups of shards the work of a step is cut."""


def check_base(methods: Mapping[str, Parameters]) -> None:
    """Raises CallerError if consensus is to smooth scores that nobody has asked for."""
    chosen = consensus_of(methods)
    if chosen and chosen.base not in methods:
        raise CallerError(
            f"--param consensus.base={chosen.base}: no --method {chosen.base!r} was asked for; give it, or another base"
        )


def check_images(images: int) -> None:
    """Raises CallerError if there are too few to be one another's neighbours."""
    if images < MIN_ANCHORS:
        raise CallerError(
            f"--method consensus needs {MIN_ANCHORS} images at least, as many as it has anchors, and of the input's "
            f"{images} can be scored; leave it out, with --new-scan"
        )


def lacking(files: ConsensusFiles, planned: Sequence[Shard], remaining: Sequence[Shard]) -> list[Shard]:
    """The planned shards whose rows and embeddings are needed; votes without anchors, and sums without votes, go."""
    if not files.output.exists(ANCHORS):
        files.clear()
    voted, wanted = files.voted(), {shard.id for shard in remaining}
    if not voted.issuperset(shard.id for shard in planned):
        files.forget_sums()
    return [*remaining, *(shard for shard in planned if shard.id not in voted | wanted)]


class Scoring(Protocol):
    """A scan or a rescoring, on a cluster."""

    @property
    def run(self) -> Any: ...

    @property
    def fingerprint(self) -> str: ...

    def base_scores(self, shards: Sequence[Shard], folder: str, tally: Tally, clock: Clock, say: Say) -> dict[str, Any]:
        """Commits to the folder the scores of all methods but consensus; what it has cost."""
        ...

    def steps(self, chosen: Consensus, files: ConsensusFiles, wanted: Sequence[Shard]) -> "Steps":
        """What is left to do once the first pass has left rows of the shards that are `wanted`."""
        ...


def scored(work: Scoring, remaining: Sequence[Shard], tally: Tally, clock: Clock, say: Say) -> dict[str, Any]:
    """Commits the scores of shards, by consensus after all others if it was asked for; what it has cost."""
    chosen = consensus_of(work.run.methods)
    if chosen is None:
        return work.base_scores(remaining, SCORES, tally, clock, say)
    files = ConsensusFiles(work.run.output, work.fingerprint)
    wanted, before = lacking(files, work.run.plan.shards, remaining), tally.records
    cost = work.base_scores(wanted, FIRST_PASS, Tally(), clock, say)
    cost |= work.steps(chosen, files, wanted).score(remaining, counting(tally, remaining, say), say)
    return {**cost, "images": tally.records - before}


@dataclass(frozen=True)
class Steps:
    """What is left to do. `embeddings`: tables of the shards that are `lacking`, by the shards' own ids."""

    consenting: Consenting
    pool: ScorePool
    planned: Sequence[Shard]
    embeddings: Sequence[Shard]

    @property
    def files(self) -> ConsensusFiles:
        return self.consenting.files

    def score(self, remaining: Sequence[Shard], on_commit: OnCommit, say: Say) -> dict[str, Any]:
        """Commits the scores of shards; how long each step took, in seconds."""
        import ray

        moments = [time.time()]
        say("consensus: anchors")
        anchors = self._anchors()
        moments.append(time.time())
        say(f"consensus: votes on {len(anchors)} anchors")
        self._vote(ray.put(anchors))
        moments.append(time.time())
        agreement = self._agreement(len(anchors))
        moments.append(time.time())
        say(f"consensus: images agree with their neighbours by {agreement.agreement:.2f}")
        self._score(ray.put(agreement), remaining, on_commit)
        moments.append(time.time())
        names = ("anchors_s", "votes_s", "rounds_s", "scores_s")
        return {"consensus": {name: end - start for name, start, end in zip(names, moments, moments[1:], strict=False)}}

    def _anchors(self) -> np.ndarray:
        known = self.files.anchors()
        if known is not None:
            return known
        rows = sum(shard.rows or 0 for shard in self.embeddings)
        blocks = blocks_of([[shard] for shard in self.embeddings])
        tables = list(by_tasks(self._without_gpus, blocks, sample, self.consenting.embeddings, rows))
        found = [row for table in tables for row in table.to_pylist()]
        images = sum(row["images"] for row in found)
        check_images(images)
        together = Sample.together([sampled(row, self.consenting.embeddings.dim) for row in found])
        count = min(anchor_count(images, self.consenting.parameters), len(together.hashes))
        anchors = fitted(together, count, self.pool)
        self.files.put_anchors(anchors)
        return anchors

    def _vote(self, anchors: Any) -> None:
        voted = self.files.voted()
        missing = [shard for shard in self.embeddings if shard.id not in voted]
        committer = Committer(self.files.output, self.files.fingerprint, lambda *_: None, VOTES)
        for rows in by_tasks(self.pool, blocks_of([[shard] for shard in missing]), vote, self.consenting, anchors):
            committer.add(rows)
        committer.check_whole(shard.id for shard in missing)

    def _agreement(self, anchors: int) -> Agreement:
        """All steps, those that are done already as they were."""
        import ray

        known = Agreement(self.consenting.parameters, anchors, tuple(self.files.sums()))
        ids = [shard.id for shard in self.planned]
        size = -(-len(ids) // (GROUPS_A_WORKER * (self.pool.workers or 1)))
        groups = [pa.table({"id": ids[start : start + size]}) for start in range(0, len(ids), size)]
        while not known.finished:
            tables = by_tasks(self._without_gpus, groups, sum_up, self.files, ray.put(known))
            sums = reduce(add, (sums_of(table) for cells in tables for table in unpacked(cells)))
            self.files.put_sums(len(known.known), sums)
            known = known.after(sums)
        return known

    def _score(self, agreement: Any, remaining: Sequence[Shard], on_commit: OnCommit) -> None:
        committer = Committer(self.files.output, self.files.fingerprint, on_commit)
        blocks = [pa.table({"id": [shard.id]}) for shard in remaining]
        for rows in by_tasks(self._without_gpus, blocks, score, self.consenting, agreement):
            committer.add(rows)
        committer.check_whole(shard.id for shard in remaining)

    @property
    def _without_gpus(self) -> ScorePool:
        """For what only reads and adds up."""
        return self.pool.model_copy(update={"gpus": None})


def fitted(found: Sample, count: int, pool: ScorePool) -> np.ndarray:
    """Anchors of a sample, by one task with all cores of its node: nobody else has anything to do meanwhile."""
    import ray

    def fit(together: Sample) -> np.ndarray:
        import faiss

        faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
        return together.anchors(count)

    return ray.get(ray.remote(num_cpus=pool.cpus or 1)(fit).remote(ray.put(found)))


def described(output: Directory, methods: Mapping[str, Parameters]) -> dict[str, Any]:
    """For the summary: how far images agree with their neighbours, and what that was found with."""
    chosen = consensus_of(methods)
    known = chosen and ConsensusFiles(output, "").agreement(chosen)
    if not chosen or not known or not known.finished:
        return {}
    return {
        "consensus": {
            "base": chosen.base,
            "agreement": known.agreement,
            "images": known.images,
            "anchors": known.anchor_count,
            "log_odds": {"mean": known.mean, "standard_deviation": known.deviation},
        }
    }
