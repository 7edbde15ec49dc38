"""The learning step: merges every shard's candidates into one memory, and turns images into words where asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import ray

from ood_core.memory import Candidates
from ood_core.methods import LearningMethod
from pipelines.config.pools import ScorePool
from pipelines.inputs.plan import Shard
from pipelines.memory.files import MemoryFiles, memory_table
from pipelines.memory.keeper import Keeper
from pipelines.memory.learned import learned_memories
from pipelines.memory.workers import CountVerdicts, InvertImages, LearnFromEmbeddings, LearnSpec, extra_negatives
from pipelines.runtime.model import ModelSpec
from pipelines.runtime.spread import over_actors
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.commit_over import commit_over
from pipelines.scan_directory.layout import CANDIDATES, ENCODED, EXTRA_NEGATIVES, VERDICTS, committed, shard_file
from pipelines.scan_directory.run import OnReceipts, Run

IMAGES_AT_ONCE = 256
"""Images that a worker turns into words in one call."""


@dataclass(frozen=True)
class LearnStep:
    """The step in which methods in transductive order learn from all shards, before any image is scored by them.

    Candidates that the encode step has not written are taken from the embeddings. `model`: turns images into words.
    """

    this_run: Run
    keeper: Keeper
    spec: LearnSpec
    pool: ScorePool
    model: ModelSpec | None

    name = "learn"
    folder = CANDIDATES
    needs = (ENCODED,)

    @property
    def files(self) -> MemoryFiles:
        return self.keeper.files

    def reads(self, shards: Sequence[Shard]) -> list[Shard]:
        """The shards that must be encoded: those given, and all whose candidates are missing."""
        if self._is_done():
            return list(shards)
        wanted, there = {shard.id for shard in shards}, self.files.shards()
        return [shard for shard in self.this_run.shards if shard.id in wanted or shard.id not in there]

    def run(self, shards: Sequence[Shard]) -> dict[str, Any]:  # noqa: ARG002
        """Learns from all planned shards, unless an earlier run has. Returns the actors' work."""
        if not self._is_done():
            self.this_run.say("learning from all embeddings, before any is scored")
            self._gather()
            for name, memory in self.keeper.compact().items():
                self.this_run.say(f"{name}: {len(memory)} images remembered")
                chosen = self.spec.learners[name]
                if chosen.inverts:
                    negatives = self._extra_negatives(chosen, memory)
                    self.files.put(EXTRA_NEGATIVES, memory_table(name, negatives))
        return self.keeper.cost(self.this_run.clock.images)

    def _is_done(self) -> bool:
        ids = (shard.id for shard in self.this_run.shards)
        return learned_memories(self.files, self.spec.learners, ids) is not None

    def _gather(self) -> None:
        """Commits the candidates of every shard that has none yet."""
        missing = [shard for shard in self.this_run.shards if shard.id not in self.keeper.shards]
        if missing:
            committer = replace(self.this_run.committer(CANDIDATES), remember=self.keeper.remember)
            arguments = (self.spec, self._positive_fractions(), self.keeper.spec)
            self._commit(committer, missing, LearnFromEmbeddings, arguments, self.keeper.heard)

    def _positive_fractions(self) -> dict[str, float]:
        """For methods that adapt to it, the share of ID among the confident verdicts on the whole input."""
        adaptive = {name: chosen for name, chosen in self.spec.learners.items() if chosen.adapts}
        if not adaptive:
            return {}
        done = committed(self.files.output, VERDICTS)
        missing = [shard for shard in self.this_run.shards if shard.id not in done]
        spec = replace(self.spec, learners=adaptive)
        self._commit(self.this_run.committer(VERDICTS), missing, CountVerdicts, (spec, {}))
        tables = [self.files.get(shard_file(VERDICTS, shard.id)) for shard in self.this_run.shards]
        rows = [row for table in tables for row in table.to_pylist()]
        fractions = {}
        for name in adaptive:
            verdicts = sum(row["verdicts"] for row in rows if row["method"] == name)
            positive = sum(row["positive"] for row in rows if row["method"] == name)
            fractions[name] = positive / verdicts if verdicts else 0.5
        return fractions

    def _commit(
        self, committer: Committer, shards: Sequence[Shard], make: Any, arguments: tuple[Any, ...], *others: OnReceipts
    ) -> None:
        receipts = commit_over(self.pool, shards, committer, make, arguments)
        self.this_run.receive(committer.folder, shards, receipts, *others)

    def _extra_negatives(self, chosen: LearningMethod, memory: Candidates) -> Candidates:
        """The best of the remembered images that are turned into words; none without a model that could."""
        images = memory_table("", chosen.to_invert(memory)).select(["key", "embedding"])
        if self.model is None or not len(images):
            return Candidates.none(self.files.dim)
        tables = [images.slice(start, IMAGES_AT_ONCE) for start in range(0, len(images), IMAGES_AT_ONCE)]
        words = pa.concat_tables(over_actors(self.pool, tables, InvertImages, (self.model, chosen)))
        return ray.get(ray.remote(extra_negatives).remote(self.spec.bank, chosen, memory, words))
