"""The Ray cluster: joining or starting one, and pools of workers that fit it."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import ray
import ray.data
from ray.data import Dataset

from pipelines.config.scan import EncodePool, Model, Pool, ScorePool
from pipelines.errors import CallerError
from pipelines.scans.workers.encode import ModelFacts, ModelSpec, describe

BLOCK_BYTES = 16 * 2**20
"""A task's output is held back until it has this many bytes; Ray's own 128 MB would hold back whole shards."""
READ_AHEAD, LEAST_ROWS, LEAST_BYTES = 4, 256, 4 * BLOCK_BYTES
"""Batches (of so many rows at least) decoded ahead of every encoder, and bytes that are not worth holding back for."""
ENCODE_CPUS, DECODE_CPUS = 0.6, 0.4
"""Of Ray's count, where both run on CPUs: as many of the one as of the other."""


QUIET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's coming default; it warns until set
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # an error line for every pool whose actors may restart (ray#53727)
}
NOISY_LOGGERS = (
    "ray._private.authentication.authentication_token_setup",  # that its default is on
    "ray.data._internal.progress",  # that progress bars are off
    "ray.data._internal.execution.streaming_executor",
)


@dataclass(frozen=True)
class Cluster:
    cpus: float
    gpus: float


@contextmanager
def cluster(address: str | None = None) -> Iterator[Cluster]:
    """Joins the cluster at the address (or RAY_ADDRESS), or starts one on this machine; leaves it at the end."""
    joined = ray.is_initialized()
    if not joined:
        _start(address or os.environ.get("RAY_ADDRESS"))
    context = ray.data.DataContext.get_current()
    context.target_max_block_size = BLOCK_BYTES
    context.enable_progress_bars = False
    context.execution_options = ray.data.ExecutionOptions()  # an earlier scan of this process has limited its own
    resources = ray.cluster_resources()
    try:
        with warnings.catch_warnings():  # true of every small input, and no matter
            warnings.filterwarnings("ignore", "The (minimum|maximum) number of concurrent", UserWarning)
            yield Cluster(resources.get("CPU", 0), resources.get("GPU", 0))
    finally:
        if not joined:
            ray.shutdown()


def _start(address: str | None) -> None:
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    dashboard = None if address else False
    try:
        ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False, include_dashboard=dashboard)
    except (ConnectionError, ValueError) as error:
        raise CallerError(f"--address {address!r}: no Ray cluster answers there: {error}") from error


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


def device_of(model: Model, found: Cluster) -> str:
    """`cuda` where the cluster has GPUs, unless the caller says otherwise."""
    if model.device == "cuda" and not found.gpus:
        raise CallerError("--device cuda: the cluster has no GPU")
    return model.device if model.device != "auto" else "cuda" if found.gpus else "cpu"


def model_spec(model: Model, pool: EncodePool, found: Cluster) -> ModelSpec:
    """The model with its device and dtype decided: a GPU and bfloat16 where the cluster has GPUs."""
    if model.name is None:
        raise CallerError("--model is missing, and the label bank does not say which model it was made with")
    device = device_of(model, found)
    dtype = model.dtype if model.dtype != "auto" else "bfloat16" if device == "cuda" else "float32"
    block = pool.block or (256 if device == "cuda" else 16)
    return ModelSpec(model.name, model.pretrained, device, dtype, block, pool.threads)


_known: dict[tuple[str, str | None], ModelFacts] = {}
"""What workers have said of models. Should the weights change meanwhile, the workers that load them will say so."""


def model_facts(spec: ModelSpec) -> ModelFacts:
    """Asked of a worker: this process need not import torch. Raises CallerError if the model cannot be loaded."""
    key = (spec.name, spec.pretrained)
    if key in _known:
        return _known[key]
    return remembered(spec, ray.get(ray.remote(describe).options(num_cpus=0.5).remote(ModelSpec(*key))))


def remembered(spec: ModelSpec, facts: ModelFacts | str) -> ModelFacts:
    """What a worker has said of the model. Raises CallerError if it is why it cannot be loaded."""
    if isinstance(facts, str):
        given = f"--model {spec.name!r}" + (f" --pretrained {spec.pretrained!r}" if spec.pretrained else "")
        raise CallerError(f"{given} cannot be loaded: {facts}")
    _known[spec.name, spec.pretrained] = facts
    return facts


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
