"""The score step: the methods that have learned from the whole input score the rows that the first step encoded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray

from pipelines.config.pools import ScorePool
from pipelines.inputs.plan import Shard
from pipelines.memory.files import MemoryFiles
from pipelines.memory.learned import learned_memories
from pipelines.memory.rounds import RoundsFiles
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
        return replace(self.spec, memory=learned_by(self.this_run, self.spec))


def learned_by(run: Run, spec: ScoreLearnedSpec) -> MemoryUse:
    """What the methods of a scan have learned. Raises RuntimeError if one has not."""
    learned, version = dict[str, Any](), None
    if spec.learners:
        files = MemoryFiles(run.output, run.fingerprint, spec.bank.dim)
        known = learned_memories(files, spec.learners, (shard.id for shard in run.shards))
        learned, version = dict(known or {}), len(run.shards)
    of_rounds = RoundsFiles(run.output, run.fingerprint)
    learned |= {name: of_rounds.chosen(chosen) for name, chosen in spec.choosers.items()}
    if lacking := [name for name in spec.due if learned.get(name) is None]:
        raise RuntimeError(f"{MEMORY}/ does not hold what {', '.join(lacking)} should have learned")
    return MemoryUse(ray.put(learned), version)
