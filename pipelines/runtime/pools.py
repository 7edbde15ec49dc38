"""Sizes of pools of workers that fit the cluster. Raises CallerError for those that were asked for and do not."""

from typing import TypeVar

from pipelines.config.pools import EncodePool, ScorePool
from pipelines.errors import CallerError
from pipelines.runtime.cluster import Cluster

CPU_BATCH, GPU_BATCH = 128, 1024
"""Images that an encoder scores at once."""

ROUNDING = 1e-6

GpuPool = TypeVar("GpuPool", EncodePool, ScorePool)


def fit_encoders(pool: EncodePool, device: str, found: Cluster) -> EncodePool:
    """A pool of encoders with every number decided: one a GPU with its share of the CPUs, else one a CPU."""
    gpus = _gpus(pool, device)
    share = max(1.0, float(int(found.cpus * gpus / found.gpus))) if gpus and found.gpus else 1.0
    fitted = _fit("--encode-workers", pool, device, found, share, int(found.cpus / (pool.cpus or 1.0)))
    decided = {
        "batch_size": pool.batch_size or (GPU_BATCH if gpus else CPU_BATCH),
        "decode_threads": pool.decode_threads or max(1, int(fitted.cpus or 1)),
    }
    return fitted.model_copy(update=decided)


def fit_scorers(pool: ScorePool, device: str, found: Cluster) -> ScorePool:
    """A pool of scorers with every number decided, of the whole cluster."""
    return _fit("--score-workers", pool, device, found, 1.0, int(found.cpus / (pool.cpus or 1.0)))


def _gpus(pool: EncodePool | ScorePool, device: str) -> float:
    return pool.gpus if pool.gpus is not None else float(device == "cuda")


def _fit(option: str, pool: GpuPool, device: str, found: Cluster, cpus: float, most_on_cpus: int) -> GpuPool:
    """The pool with `cpus` a worker unless it says otherwise, one worker a GPU, or `most_on_cpus` workers."""
    gpus, cpus = _gpus(pool, device), pool.cpus or cpus
    workers = pool.workers or max(1, int(found.gpus / gpus) if gpus else most_on_cpus)
    if workers * cpus > found.cpus + ROUNDING or workers * gpus > found.gpus:
        raise CallerError(
            f"{option} {workers} with {cpus:g} CPUs and {gpus:g} GPUs each do not fit a cluster of "
            f"{found.cpus:g} CPUs and {found.gpus:g} GPUs"
        )
    return pool.model_copy(update={"workers": workers, "cpus": cpus, "gpus": gpus})
