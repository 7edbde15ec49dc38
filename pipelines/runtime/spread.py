"""Tables spread over workers by Ray Data: actors that are kept for all tables, or tasks."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy, TaskPoolStrategy
from ray.exceptions import OutOfMemoryError, WorkerCrashedError

from pipelines.config.pools import EncodePool, ScorePool

TASKS_A_WORKER = 12
"""Ranges that a pool's work is cut into for each worker: Ray Data hands out some tens of them a second."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def ranges(items: Sequence[Item], workers: int) -> list[Sequence[Item]]:
    """The items cut into consecutive ranges of one length, so many that each worker has some `TASKS_A_WORKER`."""
    length = max(1, len(items) // (TASKS_A_WORKER * workers))
    return [items[start : start + length] for start in range(0, len(items), length)]


def over_actors(
    pool: EncodePool | ScorePool, tables: Sequence[pa.Table], actor: Any, arguments: tuple[Any, ...], calls: int = 1
) -> Iterator[pa.Table]:
    """What actors of the class `actor`, made with the arguments, yield when called with each table; in any order.

    `calls`: how many calls an actor is given at once, in threads.
    """
    most = max(1, len(tables))
    strategy = ActorPoolStrategy(
        min_size=min(pool.least_workers or pool.workers or 1, most),
        max_size=min(pool.workers or 1, most),
        max_tasks_in_flight_per_actor=calls,
        max_concurrent_calls_per_actor=calls,
        enable_true_multi_threading=calls > 1,
    )
    yield from _over(pool, tables, actor, strategy, fn_constructor_args=arguments)


def over_tasks(
    pool: ScorePool, tables: Sequence[pa.Table], function: Callable[..., Iterator[pa.Table]], *arguments: Any
) -> Iterator[pa.Table]:
    """What `function(*arguments, table)` yields of each table; in any order.

    By tasks, in processes that other tasks have left: no worker has to start first.
    """
    strategy = TaskPoolStrategy(size=min(pool.workers or 1, max(1, len(tables))))
    yield from _over(pool, tables, partial(function, *arguments), strategy)


def over_workers(
    pool: ScorePool,
    tables: Sequence[pa.Table],
    worker: Callable[..., Callable[[pa.Table], Iterator[pa.Table]]],
    arguments: tuple[Any, ...],
    stateful: bool = False,
) -> Iterator[pa.Table]:
    """What workers, each `worker(*arguments)`, yield when called with each table; in any order.

    By tasks, whose processes serve one step after the other, so that only the first has to wait for imports. By actors
    on GPUs, which Ray takes from a process after every task, and if workers are `stateful`: if what they make of a
    table depends on what they have been called with before.
    """
    if stateful or pool.gpus:
        yield from over_actors(pool, tables, worker, arguments)
    else:
        yield from over_tasks(pool, tables, _by_kept_worker, uuid.uuid4().hex, worker, arguments)


_kept: dict[str, Callable[[pa.Table], Iterator[pa.Table]]] = {}
"""The worker of this process, by the step that it is of; kept from task to task of one step."""


def _by_kept_worker(
    step: str,
    worker: Callable[..., Callable[[pa.Table], Iterator[pa.Table]]],
    arguments: tuple[Any, ...],
    table: pa.Table,
) -> Iterator[pa.Table]:
    if step not in _kept:
        _kept.clear()
        _kept[step] = worker(*arguments)
    yield from _kept[step](table)


def _over(
    pool: EncodePool | ScorePool, tables: Sequence[pa.Table], function: Any, strategy: Any, **more: Any
) -> Iterator[pa.Table]:
    if not tables:
        return
    dataset = ray.data.from_blocks(list(tables)).map_batches(
        function,
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=pool.cpus,
        num_gpus=pool.gpus or None,
        compute=strategy,
        **more,
    )
    yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow")  # pyright: ignore[reportReturnType]


def unless_killed(
    function: Callable[..., Result], groups: Sequence[tuple[Any, ...]], instead: Callable[..., Result]
) -> Iterator[Result]:
    """What a task makes of each group of arguments, in order; what `instead` makes here where one kills its worker."""
    task: Any = ray.remote(max_retries=1)(function)
    for group, future in zip(groups, [task.remote(*group) for group in groups], strict=True):
        found: Any
        try:
            found = ray.get(future)
        except (WorkerCrashedError, OutOfMemoryError):
            found = instead(*group)
        yield found
