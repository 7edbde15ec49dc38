"""Has a pool of workers commit the shards of a step over tables."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from pipelines.config.pools import ScorePool
from pipelines.inputs.plan import Shard, blocks_of
from pipelines.runtime.spread import over_actors, over_tasks, ranges
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.shard_worker import CommitShards, MakeRows


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
