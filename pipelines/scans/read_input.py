"""What every first step does: has the input read and scored, and commits what comes of it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa

from pipelines.inputs.plan import Shard
from pipelines.memory.keeper import Keeper
from pipelines.scan_directory.run import Run
from pipelines.scans.step import missing


def read_input(
    this_run: Run,
    folder: str,
    shards: Sequence[Shard],
    keeper: Keeper | None,
    tables: Callable[[list[Shard]], Iterable[pa.Table]],
) -> dict[str, Any]:
    """Commits to the folder those of the shards that are not committed yet; rows of others are dropped.

    `tables`: the rows of shards, as workers yield them; `keeper`: of the memory that workers offer images to, if they
    do. Returns what the summary tells of the memory, if that is finished now.
    """
    due = missing(this_run.output, folder, shards)
    committer = this_run.committer(folder, due)
    committer.done |= {shard.id for shard in this_run.shards} - {shard.id for shard in due}
    if keeper:
        keeper.begin(due)
        committer.on_offers = keeper.commit
    if due:
        for rows in tables(due):
            committer.add(rows)
    committer.check_complete(shard.id for shard in due)
    return keeper.ended(this_run.clock.images) if keeper else {}
