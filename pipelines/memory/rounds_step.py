"""The step in which methods look at all images in rounds, to find out which labels to score by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import ray

from ood_core.methods import TANL
from ood_core.scores.tanl_rounds import Sums, TANLRounds
from pipelines.config.pools import ScorePool
from pipelines.inputs.plan import Shard, blocks_of, shards_of
from pipelines.inputs.stored_embeddings import EmbeddingSource
from pipelines.memory.rounds import START, RoundsFiles, round_sums_of, round_sums_table
from pipelines.runtime.cells import as_cell, from_cells
from pipelines.runtime.model import ModelSpec
from pipelines.runtime.spread import over_workers, ranges
from pipelines.scan_directory.layout import ENCODED, MEMORY
from pipelines.scan_directory.run import Run

if TYPE_CHECKING:
    from ood_core.scores import Labels


@dataclass(frozen=True)
class RoundsSpec:
    """What a worker needs. `bank`: where Ray holds it."""

    bank: Any
    embeddings: EmbeddingSource
    device: str
    threads: int

    def labels(self) -> "Labels":
        """The label bank's labels on the device."""
        import torch

        from ood_core.scores import Labels

        torch.set_num_threads(self.threads)
        return Labels.of(ray.get(self.bank), self.device)


@dataclass(frozen=True)
class RoundsStep:
    """Looks at the embeddings of all shards, as often as the rounds take. Nothing but sums goes through the driver.

    `model`: which tells what it makes of images of noise.
    """

    this_run: Run
    method: TANL
    spec: RoundsSpec
    pool: ScorePool
    model: ModelSpec | None

    name = "rounds"
    folder = MEMORY
    needs = (ENCODED,)

    @property
    def files(self) -> RoundsFiles:
        return RoundsFiles(self.this_run.output, self.this_run.fingerprint)

    def reads(self, shards: Sequence[Shard]) -> list[Shard]:
        """The shards that must be encoded: those given, and all if the rounds are not finished."""
        return list(shards) if self.files.chosen(self.method) is not None else list(self.this_run.shards)

    def run(self, shards: Sequence[Shard]) -> dict[str, Any]:  # noqa: ARG002
        """Goes through the rounds that no earlier run has."""
        known = self.files.known(self.method) or self._begun()
        while not known.finished:
            self.this_run.say(f"tanl: step {len(known.known) + 1} of {known.steps} over all embeddings")
            sums = self._sums(known)
            self.files.put(len(known.known), sums)
            known = known.after(sums)
        return {}

    def _begun(self) -> TANLRounds:
        """The state before the first step, from the labels and from images of noise."""
        if self.model is None:
            raise TypeError("images of noise are to be encoded, but there is no model")
        task: Any = ray.remote(num_cpus=self.pool.cpus or 1, num_gpus=self.pool.gpus or 0)(begun)
        start: Sums = ray.get(task.remote(self.spec, self.model, self.method))
        self.files.put(START, start)
        return TANLRounds(self.method, start)

    def _sums(self, known: TANLRounds) -> Sums:
        """The sums over all shards that the next step needs."""
        tables, state = blocks_of(ranges(self.this_run.shards, self.pool.workers or 1)), ray.put(known)
        cells = over_workers(self.pool, tables, SumRounds, (self.spec, state))
        return reduce(add, (round_sums_of(table) for cell in cells for table in from_cells(cell)))


def begun(spec: RoundsSpec, model: ModelSpec, method: TANL) -> Sums:
    """What is known before the first step."""
    from ood_core.scores.tanl_noise import noise_features

    noise = noise_features(model.load(), method.seed)
    return TANLRounds.of(method, spec.labels(), noise).start


class SumRounds:
    """Sums up ranges of shards for a step. `known`: the state before it, in Ray's object store."""

    def __init__(self, spec: RoundsSpec, known: Any) -> None:
        self.spec, self.labels = spec, spec.labels()
        self.known: TANLRounds = ray.get(known)

    def __call__(self, shards: pa.Table) -> Iterator[pa.Table]:
        """For Ray Data: the sums of a range of shards, as one cell."""
        import torch

        with torch.inference_mode():
            nobody = torch.empty(0, self.spec.embeddings.dim)
            total: Sums = self.known.sums(self.labels, nobody)
            for shard in shards_of(shards):
                for rows in self.spec.embeddings.rows(shard):
                    good = torch.from_numpy(rows.vectors[np.flatnonzero(rows.statuses == "ok")])
                    total = total + self.known.sums(self.labels, good)
        yield as_cell(round_sums_table(total))
