"""What workers of steps over tables have in common: they make a shard's rows, commit them and give a receipt."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipelines.config.pools import ScorePool
from pipelines.inputs.plan import Shard, blocks_of, shards_of
from pipelines.runtime.spread import over_actors, over_tasks, ranges
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.receipts import Receipt, receipts_table


@dataclass(frozen=True)
class ShardRows:
    """All rows of a shard, in order. `times`: what the work took, by `TIMES`."""

    rows: pa.Table
    times: Mapping[str, float] = field(default_factory=dict)


MakeRows = Callable[[Shard], ShardRows]
"""Makes the rows of a shard."""


class CommitShards:
    """A worker that commits the shards of the ranges it is given; those that are committed already are passed over.

    `make`, `arguments`: what makes the rows. A shard is written while the rows of the next are made.
    """

    def __init__(self, committer: Committer, make: Callable[..., MakeRows], arguments: tuple[Any, ...]) -> None:
        self.committer, self.rows = committer, make(*arguments)
        self.ready = time.time()

    def __call__(self, shards: pa.Table) -> Iterator[pa.Table]:
        """For Ray Data: the receipts of a range of shards."""
        receipts: list[Receipt | Future[Receipt]] = []
        with ThreadPoolExecutor(1) as writer:
            for shard in shards_of(shards):
                if known := self.committer.known(shard.id):
                    receipts.append(known)
                    continue
                made = self.rows(shard)
                _wait(receipts)
                receipts.append(writer.submit(self._commit, shard, made))
            yield receipts_table(_wait(receipts))

    def _commit(self, shard: Shard, made: ShardRows) -> Receipt:
        start = time.perf_counter()
        receipt = self.committer.commit(shard.id, made.rows, {"ready": self.ready, **made.times})
        return receipt | {"write_s": time.perf_counter() - start}


def commit_over(
    pool: ScorePool,
    shards: Sequence[Shard],
    committer: Committer,
    make: Callable[..., MakeRows],
    arguments: tuple[Any, ...],
    stateful: bool = False,
) -> Iterator[pa.Table]:
    """Has a pool of workers commit shards, and yields their receipts. `make`, `arguments`: see `CommitShards`.

    By tasks, whose processes serve one step after the other, so that only the first has to wait for imports. By actors
    on GPUs, which Ray takes from a process after every task, and if workers are `stateful`: if what they make of a
    shard depends on what they have made before.
    """
    tables = blocks_of(ranges(shards, pool.workers or 1))
    if stateful or pool.gpus:
        yield from over_actors(pool, tables, CommitShards, (committer, make, arguments))
    else:
        yield from over_tasks(pool, tables, _commit_in_task, uuid.uuid4().hex, committer, make, arguments)


_kept: dict[str, CommitShards] = {}
"""The worker of this process, by the step that it is of; kept from task to task of one step."""


def _commit_in_task(
    step: str, committer: Committer, make: Callable[..., MakeRows], arguments: tuple[Any, ...], shards: pa.Table
) -> Iterator[pa.Table]:
    if step not in _kept:
        _kept.clear()
        _kept[step] = CommitShards(committer, make, arguments)
    yield from _kept[step](shards)


def _wait(receipts: list[Receipt | Future[Receipt]]) -> list[Receipt]:
    """The receipts, once all are there."""
    receipts[:] = [receipt.result() if isinstance(receipt, Future) else receipt for receipt in receipts]
    return [receipt for receipt in receipts if not isinstance(receipt, Future)]
