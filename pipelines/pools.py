"""Stages over small tables, each table one worker's at a time: a pool of Ray actors for every pass."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from pipelines.config import ScorePool
from pipelines.plan import SCHEMA, Shard


def over(
    pool: ScorePool, groups: Sequence[Sequence[Shard]], stage: Any, arguments: tuple[Any, ...]
) -> Iterator[pa.Table]:
    """A stage's tables over groups of shards, in any order."""
    blocks = [pa.Table.from_pylist([asdict(shard) for shard in group], SCHEMA) for group in groups]
    return mapped(pool, blocks, stage, arguments)


def mapped(pool: ScorePool, blocks: Sequence[pa.Table], stage: Any, arguments: tuple[Any, ...]) -> Iterator[pa.Table]:
    """A stage's tables over tables, in any order."""
    import ray.data
    from ray.data import ActorPoolStrategy

    from pipelines.cluster import tables

    if not blocks:
        return
    yield from tables(
        ray.data.from_blocks(list(blocks)).map_batches(
            stage,
            fn_constructor_args=arguments,
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=pool.cpus,
            num_gpus=pool.gpus or None,
            compute=ActorPoolStrategy(size=min(pool.workers or 1, len(blocks)), max_tasks_in_flight_per_actor=1),
        )
    )
