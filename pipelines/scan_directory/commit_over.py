"""Has a pool of workers commit the shards of a step over tables."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from pipelines.config.pools import ScorePool
from pipelines.inputs.plan import Shard, blocks_of
from pipelines.runtime.spread import over_workers, ranges
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

    `stateful`: whether what a worker makes of a shard depends on what it has made before; see `over_workers`.
    """
    tables = blocks_of(ranges(shards, pool.workers or 1))
    yield from over_workers(pool, tables, CommitShards, (committer, make, arguments), stateful)
