"""The rounds of consensus: sums over the votes of all shards, one after the other, each committed as it is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import pyarrow as pa
import ray

from pipelines.config.pools import ScorePool
from pipelines.consensus.asked import Asked, Chain, ChainName, Known
from pipelines.consensus.files import ConsensusFiles
from pipelines.consensus.tables import sums_of
from pipelines.consensus.workers import sum_up, tell
from pipelines.runtime.cells import from_cells
from pipelines.runtime.spread import over_tasks
from pipelines.verdicts.kept import Verdicts

GROUPS_A_WORKER = 4
"""Groups of shards for each worker that the sums of a step are cut into."""


@dataclass(frozen=True)
class Rounds:
    """Sums up the votes of shards by tasks. `shards`: the ids of all; `pool`: for tasks that only read and add up."""

    files: ConsensusFiles
    asked: Asked
    shards: Sequence[str]
    pool: ScorePool

    def tell(self, verdicts: Verdicts) -> None:
        """Works out what verdicts say of the anchors, unless it is known; sums with other verdicts are removed."""
        told = self.files.told()
        if (told.digest if told else None) == (verdicts.digest if self.asked.has_verdicts else None):
            return
        self.files.forget_told()
        anchors = self.files.anchors()
        if self.asked.has_verdicts and anchors is not None:
            task: Any = ray.remote(num_cpus=self.pool.cpus or 1)(tell)
            self.files.put_told(*ray.get(task.remote(verdicts, anchors, self.asked.parameters)))

    def known(self) -> Known:
        """What all sums come to; those that an earlier run has made are read."""
        chains = self.files.chains(self.asked)
        return self.asked.known(
            {name: self._finished(name, chain) for name, chain in chains.items()}, self.files.told()
        )

    def _finished(self, name: ChainName, chain: Chain) -> Chain:
        """A chain with all its sums."""
        groups, column = grouped(self.shards, self.pool), self.asked.column(name)
        while not chain.finished:
            tables = over_tasks(self.pool, groups, sum_up, self.files, ray.put(chain), column)
            sums = reduce(add, (sums_of(table) for cells in tables for table in from_cells(cells)))
            self.files.put_sums(len(chain.known), sums, name)
            chain = chain.after(sums)
        return chain


def grouped(ids: Sequence[str], pool: ScorePool) -> list[pa.Table]:
    """The ids of shards in groups, some for each worker."""
    size = -(-len(ids) // (GROUPS_A_WORKER * (pool.least_workers or pool.workers or 1)))
    return [pa.table({"id": ids[start : start + size]}) for start in range(0, len(ids), size)]
