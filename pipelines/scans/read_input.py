"""What every first step does: has the input read and scored by workers, which commit what comes of it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from pipelines.inputs.plan import Shard
from pipelines.memory.keeper import Keeper
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.run import Run


def read_input(
    this_run: Run,
    folder: str,
    shards: Sequence[Shard],
    keeper: Keeper | None,
    offers: bool,
    work: Callable[[Committer, list[Shard]], Iterable[pa.Table]],
) -> dict[str, Any]:
    """Has those of the shards committed to the folder that are not yet.

    `keeper`: of the memory, if there is one; `offers`: whether workers offer images to it; `work`: has workers commit
    shards, and yields their receipts. Returns what the summary tells of the memory, if that is finished now.
    """
    due, committer = this_run.missing(folder, shards), this_run.committer(folder)
    hear = [this_run.clock.add]
    if keeper:
        keeper.begin(due)
    if keeper and offers:
        committer = replace(committer, remember=keeper.remember)
        hear.append(keeper.heard)
    this_run.receive(folder, due, work(committer, due) if due else (), *hear)
    return keeper.ended(this_run.clock.images) if keeper else {}
