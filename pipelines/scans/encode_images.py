"""The first step of a scan: a pool of Ray actors reads, decodes, encodes and scores images, and commits the rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray

from pipelines.config.pools import EncodePool
from pipelines.inputs.plan import Shard, blocks_of
from pipelines.memory.keeper import Keeper
from pipelines.runtime.spread import over_actors, ranges
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.run import Run
from pipelines.scans.read_input import read_input
from pipelines.scans.workers.attempts import Attempts
from pipelines.scans.workers.encode_shards import EncodeShards, EncodeSpec

CALLS_AT_ONCE = 2
"""Ranges that an encoder has at once, so that it need not wait between them."""


@dataclass(frozen=True)
class EncodeImagesStep:
    """Commits to `folder` the rows of images with the scores that need no other image, and their embeddings if asked.

    `keeper`: of the memory that encoders offer images to, if they do.
    """

    this_run: Run
    spec: EncodeSpec
    pool: EncodePool
    folder: str
    keeper: Keeper | None = None

    name = "encode"
    needs = ()

    def reads(self, shards: Sequence[Shard]) -> list[Shard]:  # noqa: ARG002
        """None: no step comes before."""
        return []

    def run(self, shards: Sequence[Shard]) -> dict[str, Any]:
        """Commits the shards that are not committed yet."""
        offers = self.spec.score.memory.memory is not None
        return read_input(self.this_run, self.folder, shards, self.keeper, offers, self.receipts)

    def receipts(self, committer: Committer, shards: Sequence[Shard]) -> Iterator[pa.Table]:
        """The receipts of these shards, as encoders commit them."""
        attempts: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Attempts).remote()
        tables = blocks_of(ranges(shards, self.pool.workers or 1))
        try:
            yield from over_actors(self.pool, tables, EncodeShards, (self.spec, committer, attempts), CALLS_AT_ONCE)
        finally:
            ray.kill(attempts)
