"""Stages over small tables, each table one worker's at a time: a pool of Ray actors for every pass, or tasks."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import pyarrow as pa

from pipelines.config import ScorePool
from pipelines.plan import SCHEMA, Shard


def over(
    pool: ScorePool, groups: Sequence[Sequence[Shard]], stage: Any, arguments: tuple[Any, ...]
) -> Iterator[pa.Table]:
    """A stage's tables over groups of shards, in any order."""
    return mapped(pool, blocks_of(groups), stage, arguments)


def blocks_of(groups: Sequence[Sequence[Shard]]) -> list[pa.Table]:
    """A table for each group of shards."""
    return [pa.Table.from_pylist([asdict(shard) for shard in group], SCHEMA) for group in groups]


def shards_of(block: pa.Table) -> list[Shard]:
    """The inverse of `blocks_of`, for one of them."""
    return [Shard(**row) for row in block.to_pylist()]


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


def by_tasks(
    pool: ScorePool, blocks: Sequence[pa.Table], function: Callable[..., Iterator[pa.Table]], *arguments: Any
) -> Iterator[pa.Table]:
    """`function(*arguments, table)` of every table, in any order, by tasks: nothing has to start before each pass, and
    nothing is kept from table to table."""
    import ray.data
    from ray.data import TaskPoolStrategy

    from pipelines.cluster import tables

    if not blocks:
        return
    yield from tables(
        ray.data.from_blocks(list(blocks)).map_batches(
            partial(function, *arguments),
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=pool.cpus,
            num_gpus=pool.gpus or None,
            compute=TaskPoolStrategy(size=min(pool.workers or 1, len(blocks))),
        )
    )
