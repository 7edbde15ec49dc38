"""The first step of a rescoring: score stored embeddings, in a pool of Ray actors that read them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.config.pools import ScorePool
from pipelines.inputs.plan import Shard, blocks_of
from pipelines.memory.keeper import Keeper
from pipelines.runtime.spread import over_actors, over_tasks
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.commit_over import commit_over
from pipelines.scan_directory.run import Run
from pipelines.scans.read_input import read_input
from pipelines.scans.workers.score_embeddings import ScoreEmbeddings, ScoreEmbeddingsSpec
from pipelines.scans.workers.score_sequential import ScoreInSequence, score_in_sequence


@dataclass(frozen=True)
class ScoreEmbeddingsStep:
    """Commits to `folder` the rows of stored embeddings with the scores that need no other image.

    In `sequential` order with all scores: one worker goes over every planned shard, whatever is committed, since scores
    depend on it. `keeper`: of the memory that workers offer images to, if they do.
    """

    this_run: Run
    spec: ScoreEmbeddingsSpec
    pool: ScorePool
    folder: str
    sequential: bool = False
    keeper: Keeper | None = None

    name = "encode"
    needs = ()

    def reads(self, shards: Sequence[Shard]) -> list[Shard]:  # noqa: ARG002
        """None: no step comes before."""
        return []

    def run(self, shards: Sequence[Shard]) -> dict[str, Any]:
        """Commits the shards that are not committed yet."""
        offers = self.spec.memory.memory is not None
        return read_input(self.this_run, self.folder, shards, self.keeper, offers, self._receipts)

    def _receipts(self, committer: Committer, shards: Sequence[Shard]) -> Iterator[pa.Table]:
        if self.sequential:
            wanted = frozenset(shard.id for shard in shards)
            tables, actor = blocks_of([self.this_run.shards]), ScoreInSequence
            if self.pool.gpus:
                return over_actors(self.pool, tables, actor, (committer, self.spec, wanted))
            return over_tasks(self.pool, tables, score_in_sequence, committer, self.spec, wanted)
        memory = self.spec.memory.memory
        stateful = memory is not None and bool(memory.streaming)
        return commit_over(self.pool, shards, committer, ScoreEmbeddings, (self.spec,), stateful)
