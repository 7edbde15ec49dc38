"""Joining a Ray cluster, or starting one on this machine."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray
import ray.data

from pipelines.errors import CallerError

BLOCK_BYTES = 16 * 2**20
"""A task's output is held back until it has this many bytes; Ray's own 128 MB would hold back whole shards."""

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
    """How many CPUs and GPUs all nodes of the cluster have."""

    cpus: float
    gpus: float


@contextmanager
def cluster(address: str | None = None) -> Iterator[Cluster]:
    """Joins the cluster at the address (or RAY_ADDRESS), or starts one on this machine; leaves it at the end.

    Raises CallerError, naming --address, if no cluster answers there.
    """
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
