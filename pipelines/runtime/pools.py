"""Stages over small tables, each table one worker's at a time: a pool of Ray actors for every pass, or tasks."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from pipelines.config.scan import ScorePool
from pipelines.inputs.plan import Shard, blocks_of


def over(
    pool: ScorePool, groups: Sequence[Sequence[Shard]], stage: Any, arguments: tuple[Any, ...]
) -> Iterator[pa.Table]:
    """A stage's tables over groups of shards, in any order."""
    return mapped(pool, blocks_of(groups), stage, arguments)


def mapped(pool: ScorePool, blocks: Sequence[pa.Table], stage: Any, arguments: tuple[Any, ...]) -> Iterator[pa.Table]:
    """A stage's tables over tables, in any order."""
    from ray.data import ActorPoolStrategy

    actors = partial(ActorPoolStrategy, max_tasks_in_flight_per_actor=1)
    yield from _mapped(pool, blocks, stage, actors, fn_constructor_args=arguments)


def by_tasks(
    pool: ScorePool, blocks: Sequence[pa.Table], function: Callable[..., Iterator[pa.Table]], *arguments: Any
) -> Iterator[pa.Table]:
    """`function(*arguments, table)` of every table, in any order, by tasks: nothing has to start before each pass, and
    nothing is kept from table to table."""
    from ray.data import TaskPoolStrategy

    yield from _mapped(pool, blocks, partial(function, *arguments), TaskPoolStrategy)


def _mapped(
    pool: ScorePool, blocks: Sequence[pa.Table], function: Any, strategy: Callable[..., Any], **more: Any
) -> Iterator[pa.Table]:
    import ray.data

    from pipelines.runtime.cluster import tables

    if not blocks:
        return
    yield from tables(
        ray.data.from_blocks(list(blocks)).map_batches(
            function,
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=pool.cpus,
            num_gpus=pool.gpus or None,
            compute=strategy(size=min(pool.workers or 1, len(blocks))),
            **more,
        )
    )
