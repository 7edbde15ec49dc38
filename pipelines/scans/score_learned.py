"""The score step: the methods that have learned from the whole input score the rows that the first step encoded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray

from pipelines.config.pools import ScorePool
from pipelines.inputs.plan import Shard
from pipelines.memory.files import MemoryFiles
from pipelines.memory.learned import learned_memories
from pipelines.memory.scoring import MemoryUse
from pipelines.scan_directory.commit_over import commit_over
from pipelines.scan_directory.layout import ENCODED, MEMORY
from pipelines.scan_directory.run import Run
from pipelines.scans.workers.score_learned import ScoreLearned, ScoreLearnedSpec


@dataclass(frozen=True)
class ScoreLearnedStep:
    """Commits to `folder` the encoded rows with the scores of the methods that learn, against the whole memory."""

    this_run: Run
    spec: ScoreLearnedSpec
    pool: ScorePool
    folder: str

    name = "score"
    needs = (ENCODED, MEMORY)

    def reads(self, shards: Sequence[Shard]) -> list[Shard]:
        """The shards that are not committed yet."""
        return self.this_run.missing(self.folder, shards)

    def run(self, shards: Sequence[Shard]) -> dict[str, Any]:
        """Commits the shards that are not committed yet."""
        due = self.reads(shards)
        if due:
            committer = self.this_run.committer(self.folder)
            receipts = commit_over(self.pool, due, committer, ScoreLearned, (self._spec(),))
            self.this_run.receive(self.folder, due, receipts)
        return {}

    def _spec(self) -> ScoreLearnedSpec:
        """What workers need, with what the methods have learned, which Ray holds once for all of them."""
        files = MemoryFiles(self.this_run.output, self.this_run.fingerprint, self.spec.bank.dim)
        learned = learned_memories(files, self.spec.learners, (shard.id for shard in self.this_run.shards))
        if learned is None:
            raise RuntimeError(f"{MEMORY}/ does not hold what {', '.join(self.spec.learners)} should have learned")
        return replace(self.spec, memory=MemoryUse(ray.put(learned), len(self.this_run.shards)))
