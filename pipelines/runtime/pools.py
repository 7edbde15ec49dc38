"""Sizes of pools of workers that fit the cluster. Raises CallerError for those that were asked for and do not."""

from typing import TypeVar

from pipelines.config.pools import EncodePool, ScorePool
from pipelines.runtime.cluster import Cluster, Node, wait_for_room
from pipelines.runtime.progress import Say, quiet

CPU_BATCH, GPU_BATCH = 128, 1024
"""Images that an encoder scores at once."""

GROWTH = 8
"""How many times as many workers as fit now a pool may have on a cluster that grows, unless a number is given."""

GpuPool = TypeVar("GpuPool", EncodePool, ScorePool)


def fit_encoders(pool: EncodePool, device: str, found: Cluster, say: Say = quiet) -> EncodePool:
    """A pool of encoders with every number decided: one a GPU with its share of the CPUs, else one a CPU.

    Waits for a cluster that has no room for as many as were asked for.
    """
    fitted = _fit("--encode-workers", pool, device, found, say)
    decided = {
        "batch_size": pool.batch_size or (GPU_BATCH if fitted.gpus else CPU_BATCH),
        "decode_threads": pool.decode_threads or max(1, int(fitted.cpus or 1)),
    }
    return fitted.model_copy(update=decided)


def fit_scorers(pool: ScorePool, device: str, found: Cluster, say: Say = quiet) -> ScorePool:
    """A pool of scorers with every number decided, of the whole cluster, as `fit_encoders`."""
    return _fit("--score-workers", pool, device, found, say)


def _fit(option: str, pool: GpuPool, device: str, found: Cluster, say: Say) -> GpuPool:
    gpus = pool.gpus if pool.gpus is not None else float(device == "cuda")
    least = pool.least_workers or pool.workers
    named = f"{option} {least}" if least else "--device cuda" if gpus else option
    found = wait_for_room(found, least or 1, Node(pool.cpus or 1.0, gpus), named, pool.wait_s, say)
    cpus = pool.cpus or _share(found, gpus, least or 1)
    room = found.room(cpus, gpus)
    most = pool.workers or room * (GROWTH if found.joined else 1)
    return pool.model_copy(update={"workers": most, "least_workers": least or room, "cpus": cpus, "gpus": gpus})


def _share(found: Cluster, gpus: float, workers: int) -> float:
    """CPUs for a worker of so many GPUs: the share of its node's that no other worker there needs, a whole number."""
    with_gpus = [node for node in found.nodes if gpus and node.gpus >= gpus]
    share = max(1.0, float(min((int(node.cpus * gpus / node.gpus) for node in with_gpus), default=1)))
    return share if found.room(share, gpus) >= workers else 1.0
