"""The step before the first: takes over from an earlier scan the tables of shards that have not changed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from pipelines.config.pools import ScorePool
from pipelines.inputs.plan import Shard, blocks_of, shards_of
from pipelines.runtime.spread import over_tasks, ranges
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.layout import EMBEDDINGS, SCORES, shard_file
from pipelines.scan_directory.receipts import receipts_table
from pipelines.scan_directory.run import Run
from pipelines.scan_directory.whole import NotWholeError
from pipelines.scans.since import Since
from pipelines.storage import Directory


@dataclass(frozen=True)
class TakeOverStep:
    """Commits to `folder`, that of the first step, the tables of unchanged shards as an earlier scan has left them.

    One that is not whole is left to the first step. `embeddings`: whether every shard must have a table of these too.
    """

    this_run: Run
    since: Since
    pool: ScorePool
    folder: str
    embeddings: bool

    name = "take over"
    needs = ()

    def reads(self, shards: Sequence[Shard]) -> list[Shard]:  # noqa: ARG002
        """None: no step comes before."""
        return []

    def run(self, shards: Sequence[Shard]) -> dict[str, Any]:  # noqa: ARG002
        """Takes over what is unchanged and not committed yet."""
        run, earlier = self.this_run, self.since.record.directory
        found = run.missing(self.folder, self.since.usable(run.fingerprints, self.folder))
        if not found:
            return {}
        tables = blocks_of(ranges(found, self.pool.workers or 1))
        with_embeddings = self.embeddings and self.folder == SCORES
        receipts = over_tasks(self.pool, tables, take_over, earlier, run.committer(self.folder), with_embeddings)
        taken = run.receive_some(self.folder, found, receipts)
        run.say(f"{taken} shards taken over from {earlier.url}")
        return {"taken_over": taken}


def take_over(earlier: Directory, committer: Committer, embeddings: bool, shards: pa.Table) -> Iterator[pa.Table]:
    """Copies the tables of some shards, and yields the receipts of those that are whole."""
    source, receipts = replace(committer, output=earlier, remember=None), []
    for shard in shards_of(shards):
        try:
            receipt = source.receipt(shard.id, embeddings)
        except (NotWholeError, FileNotFoundError):
            continue
        for folder in [EMBEDDINGS] * embeddings + [committer.folder]:
            committer.output.take(shard_file(folder, shard.id), earlier)
        receipts.append(receipt)
    yield receipts_table(receipts)
