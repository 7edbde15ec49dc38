"""Stages over small tables, each table one worker's at a time: a pool of Ray actors for every pass, or tasks."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import ray
import ray.data
from ray.data import Dataset

from pipelines.config.pools import EncodePool, Pool, ScorePool
from pipelines.errors import CallerError
from pipelines.inputs.plan import Shard, blocks_of
from pipelines.runtime.cluster import BLOCK_BYTES, Cluster

if TYPE_CHECKING:
    pass


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

    from pipelines.runtime.pools import tables

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


READ_AHEAD, LEAST_ROWS, LEAST_BYTES = 4, 256, 4 * BLOCK_BYTES
"""Batches (of so many rows at least) decoded ahead of every encoder, and bytes that are not worth holding back for."""


ENCODE_CPUS, DECODE_CPUS = 0.6, 0.4
"""Of Ray's count, where both run on CPUs: as many of the one as of the other."""


def limit_read_ahead(encode: EncodePool, image_bytes: int) -> None:
    """Hold decoders back once the object store has `READ_AHEAD` batches for every encoder.

    Ray would let them fill half of it, so that memory would grow with the input up to that.
    """
    rows = (encode.workers or 1) * READ_AHEAD * max(LEAST_ROWS, encode.batch_size or 1)
    limit = max(LEAST_BYTES, rows * image_bytes)
    options = ray.data.DataContext.get_current().execution_options
    options.resource_limits = options.resource_limits.copy(object_store_memory=limit)


def tables(dataset: Dataset) -> Iterator[pa.Table]:
    """A dataset's rows as they come, in any order."""
    yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow")  # pyright: ignore[reportReturnType]


def fitted_alone(pool: EncodePool, device: str, found: Cluster) -> EncodePool:
    """A pool of encoders with every number decided. Raises CallerError if it does not fit the cluster."""
    gpus = pool.gpus if pool.gpus is not None else float(device == "cuda")
    cpus = pool.cpus or (1.0 if gpus else ENCODE_CPUS)
    workers = pool.workers or max(1, int(found.gpus / gpus) if gpus else int(found.cpus))
    if workers * cpus > found.cpus + 1e-6 or workers * gpus > found.gpus:
        raise CallerError(
            f"--encode-workers {workers} with {cpus:g} CPUs and {gpus:g} GPUs each do not fit a cluster of "
            f"{found.cpus:g} CPUs and {found.gpus:g} GPUs"
        )
    batch_size = pool.batch_size or (1024 if gpus else 64)
    return pool.model_copy(update={"workers": workers, "cpus": cpus, "gpus": gpus, "batch_size": batch_size})


def fitted_scorers(pool: ScorePool, device: str, found: Cluster) -> ScorePool:
    """A pool of scorers with every number decided. Raises CallerError if it does not fit the cluster."""
    gpus = pool.gpus if pool.gpus is not None else float(device == "cuda")
    cpus = pool.cpus or 1.0
    workers = pool.workers or max(1, int(found.gpus / gpus) if gpus else int(found.cpus / cpus))
    if workers * cpus > found.cpus + 1e-6 or workers * gpus > found.gpus:
        raise CallerError(
            f"--score-workers {workers} with {cpus:g} CPUs and {gpus:g} GPUs each do not fit a cluster of "
            f"{found.cpus:g} CPUs and {found.gpus:g} GPUs"
        )
    return pool.model_copy(update={"workers": workers, "cpus": cpus, "gpus": gpus})


def fitted(encode: EncodePool, decode: Pool, device: str, found: Cluster) -> tuple[EncodePool, Pool]:
    """The two pools with every number decided. Raises CallerError if they cannot run side by side on the cluster."""
    encode = fitted_alone(encode, device, found)
    taken = (encode.workers or 0) * (encode.cpus or 0)
    cpus = decode.cpus or (1.0 if encode.gpus else DECODE_CPUS)
    workers = decode.workers or max(1, int((found.cpus - taken) / cpus + 1e-6))
    if taken + workers * cpus > found.cpus + 1e-6:  # they would wait for each other for ever
        raise CallerError(
            f"--decode-workers {workers} with {cpus:g} CPUs each do not fit beside --encode-workers {encode.workers} "
            f"with {encode.cpus:g} CPUs each on a cluster of {found.cpus:g} CPUs"
        )
    return encode, decode.model_copy(update={"workers": workers, "cpus": cpus})


def packed(table: pa.Table) -> pa.Table:
    """A table as one cell. Ray would bring what comes of one task to one schema, and fail where columns of the input
    have one name and two types."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return pa.table({"table": pa.array([sink.getvalue().to_pybytes()], pa.large_binary())})


def unpacked(cells: pa.Table) -> Iterator[pa.Table]:
    """The inverse of `packed`."""
    for cell in cells["table"].to_pylist():
        yield pa.ipc.open_stream(cell).read_all()
