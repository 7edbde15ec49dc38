"""Tables spread over workers by Ray Data: actors that are kept for all tables, or tasks."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import ray.data
from ray.data import ActorPoolStrategy, Dataset, TaskPoolStrategy

from pipelines.config.pools import EncodePool, ScorePool
from pipelines.runtime.cluster import BLOCK_BYTES

READ_AHEAD, LEAST_ROWS = 4, 256
"""Batches decoded ahead of every encoder, and the rows that a batch counts at least."""

LEAST_BYTES = 4 * BLOCK_BYTES
"""Decoded images of so many bytes are never worth holding decoders back for."""


def over_actors(
    pool: ScorePool, tables: Sequence[pa.Table], actor: Any, arguments: tuple[Any, ...]
) -> Iterator[pa.Table]:
    """What actors of the class `actor`, made with the arguments, yield when called with each table; in any order."""
    strategy = partial(ActorPoolStrategy, max_tasks_in_flight_per_actor=1)
    yield from _over(pool, tables, actor, strategy, fn_constructor_args=arguments)


def over_tasks(
    pool: ScorePool, tables: Sequence[pa.Table], function: Callable[..., Iterator[pa.Table]], *arguments: Any
) -> Iterator[pa.Table]:
    """What `function(*arguments, table)` yields of each table; in any order.

    By tasks: no worker has to start first, and nothing is kept from table to table.
    """
    yield from _over(pool, tables, partial(function, *arguments), TaskPoolStrategy)


def _over(
    pool: ScorePool, tables: Sequence[pa.Table], function: Any, strategy: Callable[..., Any], **more: Any
) -> Iterator[pa.Table]:
    if not tables:
        return
    dataset = ray.data.from_blocks(list(tables)).map_batches(
        function,
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=pool.cpus,
        num_gpus=pool.gpus or None,
        compute=strategy(size=min(pool.workers or 1, len(tables))),
        **more,
    )
    yield from batches_of(dataset)


def batches_of(dataset: Dataset) -> Iterator[pa.Table]:
    """A dataset's rows as they come, in any order."""
    yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow")  # pyright: ignore[reportReturnType]


def limit_read_ahead(encode: EncodePool, image_bytes: int) -> None:
    """Holds decoders back once the object store has `READ_AHEAD` batches of decoded images for every encoder.

    Ray would let them fill half of it, so that memory would grow with the input up to that.
    """
    rows = (encode.workers or 1) * READ_AHEAD * max(LEAST_ROWS, encode.batch_size or 1)
    limit = max(LEAST_BYTES, rows * image_bytes)
    options = ray.data.DataContext.get_current().execution_options
    options.resource_limits = options.resource_limits.copy(object_store_memory=limit)
