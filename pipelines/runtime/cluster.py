"""Joining a Ray cluster, or starting one on this machine."""

import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import ray
import ray.data
from ray.autoscaler.sdk import request_resources

from pipelines.errors import CallerError
from pipelines.runtime.progress import Say

BLOCK_BYTES = 16 * 2**20
"""A task's output is held back until it has this many bytes; Ray's own 128 MB would hold back whole shards."""

ROUNDING = 1e-6
WAIT_STEP_S = 2.0
"""Between two looks at a cluster that is to grow."""

QUIET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's coming default; it warns until set
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # an error line for every pool whose actors may restart (ray#53727)
}
NOISY_LOGGERS = (
    "ray._private.authentication.authentication_token_setup",  # that its default is on
    "ray.data._internal.progress",  # that progress bars are off
    "ray.data._internal.execution.streaming_executor",
)
RAISED_TOO = ("ray.data._internal.execution.streaming_executor_state", "ray.data.exceptions")
"""Loggers that print the stack trace of what is then raised."""


@dataclass(frozen=True)
class Node:
    """How many CPUs and GPUs one machine of a cluster has."""

    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True)
class Cluster:
    """The nodes of a cluster. `joined`: it was there before, so that others may use it, and it may grow."""

    nodes: tuple[Node, ...]
    joined: bool = False

    @property
    def cpus(self) -> float:
        return sum(node.cpus for node in self.nodes)

    @property
    def gpus(self) -> float:
        return sum(node.gpus for node in self.nodes)

    def room(self, cpus: float, gpus: float) -> int:
        """How many workers of so many CPUs and GPUs each fit; a worker has all that it takes from one node."""
        return sum(
            min(int(node.cpus / cpus + ROUNDING), int(node.gpus / gpus + ROUNDING) if gpus else sys.maxsize)
            for node in self.nodes
        )

    def described(self) -> str:
        """Its nodes in words."""
        kinds = Counter(f"{node.cpus:g} CPUs and {node.gpus:g} GPUs" for node in self.nodes)
        return ", ".join(f"{count} x {kind}" for kind, count in kinds.items()) or "no node"


@contextmanager
def cluster(address: str | None = None) -> Iterator[Cluster]:
    """Joins the cluster at the address (or RAY_ADDRESS), or starts one on this machine; leaves it at the end.

    Raises CallerError, naming --address, if no cluster answers there.
    """
    ours, address = not ray.is_initialized(), address or os.environ.get("RAY_ADDRESS")
    if ours:
        on_sigterm = signal.getsignal(signal.SIGTERM)
        _start(address)
        if threading.current_thread() is threading.main_thread():  # Ray has set one of its own
            signal.signal(signal.SIGTERM, on_sigterm)
    context = ray.data.DataContext.get_current()
    context.target_max_block_size = BLOCK_BYTES
    context.enable_progress_bars = False
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0  # busy is enough: no actor has calls in wait
    context.execution_options = ray.data.ExecutionOptions()  # an earlier scan of this process has limited its own
    try:
        with warnings.catch_warnings():  # true of every small input, and no matter
            warnings.filterwarnings("ignore", "The (minimum|maximum) number of concurrent", UserWarning)
            yield Cluster(nodes(), joined=address is not None)
    finally:
        if ours:
            ray.shutdown()


def nodes() -> tuple[Node, ...]:
    """The nodes of the cluster that are alive now."""
    alive = (node["Resources"] for node in ray.nodes() if node["Alive"])
    return tuple(Node(resources.get("CPU", 0.0), resources.get("GPU", 0.0)) for resources in alive)


def wait_for_room(found: Cluster, workers: int, needs: Node, option: str, wait_s: float, say: Say) -> Cluster:
    """The cluster once so many workers fit, each of which takes what `needs` says. A cluster that can grow is asked to.

    Waits `wait_s` at most, and not at all on a cluster that was started for this run. Raises CallerError, naming
    `option`, if they do not fit then.
    """
    end, asked = time.monotonic() + (wait_s if found.joined else 0), False
    bundles = [{name: count for name, count in (("CPU", needs.cpus), ("GPU", needs.gpus)) if count}] * workers
    wanted = f"{workers} x {needs.cpus:g} CPUs" + (f" and {needs.gpus:g} GPUs" if needs.gpus else "")
    try:
        while found.room(needs.cpus, needs.gpus) < workers:
            if time.monotonic() >= end:
                waited = f", and {wait_s:g} s have passed (--wait-s)" if asked else ""
                raise CallerError(f"{option}: the cluster has no room for {wanted}: {found.described()}{waited}")
            if not asked:
                say(f"{option}: waiting {wait_s:g} s at most for {wanted}; the cluster has {found.described()}")
                request_resources(bundles=bundles)
                asked = True
            time.sleep(min(WAIT_STEP_S, max(0.0, end - time.monotonic())))
            found = replace(found, nodes=nodes())
    finally:
        if asked:
            request_resources(bundles=[])
    return found


def _start(address: str | None) -> None:
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in RAISED_TOO:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    dashboard = None if address else False
    try:
        ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False, include_dashboard=dashboard)
    except (ConnectionError, ValueError) as error:
        raise CallerError(f"--address {address!r}: no Ray cluster answers there: {error}") from error
