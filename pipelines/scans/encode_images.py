"""The first step of a scan: read, decode, encode and score images, in two pools of Ray actors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray.data
from ray.data import ActorPoolStrategy

from ood_core.preprocessing import Preprocessing
from pipelines.config.pools import EncodePool, Pool
from pipelines.config.scan import Read
from pipelines.inputs.plan import Shard, blocks_of
from pipelines.memory.keeper import Keeper
from pipelines.runtime.model import ModelSpec
from pipelines.runtime.spread import batches_of, limit_read_ahead
from pipelines.scan_directory.run import Run
from pipelines.scans.read_input import read_input
from pipelines.scans.workers.decode import DecodeShards
from pipelines.scans.workers.encode import EncodeImages, ScoreSpec


@dataclass(frozen=True)
class EncodeImagesStep:
    """Commits to `folder` the rows of images with the scores that need no other image, and their embeddings if asked.

    `keeper`: of the memory that encoders offer images to, if they do.
    """

    this_run: Run
    read: Read
    options: Mapping[str, Any] = field(repr=False)
    preprocessing: Preprocessing
    model: ModelSpec
    score: ScoreSpec
    decode_pool: Pool
    encode_pool: EncodePool
    folder: str
    keeper: Keeper | None = None

    name = "encode"
    needs = ()

    def reads(self, shards: Sequence[Shard]) -> list[Shard]:  # noqa: ARG002
        """None: no step comes before."""
        return []

    def run(self, shards: Sequence[Shard]) -> dict[str, Any]:
        """Commits the shards that are not committed yet."""
        return read_input(self.this_run, self.folder, shards, self.keeper, lambda due: batches_of(self.dataset(due)))

    def dataset(self, shards: Sequence[Shard]) -> ray.data.Dataset:
        """Rows of scores of the shards, streaming from one pool of actors, which reads and decodes, to another."""
        height, width = self.preprocessing.size
        limit_read_ahead(self.encode_pool, height * width * 3)
        records = ray.data.from_blocks(blocks_of([[shard] for shard in shards])).map_batches(
            DecodeShards,
            fn_constructor_args=(self.read, self.preprocessing, self.options),
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=self.decode_pool.cpus,
            compute=ActorPoolStrategy(size=self.decode_pool.workers, max_tasks_in_flight_per_actor=1),
        )
        return records.map_batches(
            EncodeImages,
            fn_constructor_args=(self.model, self.score),
            batch_size=self.encode_pool.batch_size,
            batch_format="pyarrow",
            num_cpus=self.encode_pool.cpus,
            num_gpus=self.encode_pool.gpus or None,
            compute=ActorPoolStrategy(size=self.encode_pool.workers),
        )
