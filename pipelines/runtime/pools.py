"""Sizes of pools of workers that fit the cluster. Raises CallerError for those that were asked for and do not."""

from typing import TypeVar

from pipelines.config.pools import EncodePool, Pool, ScorePool
from pipelines.errors import CallerError
from pipelines.runtime.cluster import Cluster

ENCODE_CPUS, DECODE_CPUS = 0.6, 0.4
"""CPUs of Ray's count for an encoder and a decoder where both run on CPUs: as many of the one as of the other."""

CPU_BATCH, GPU_BATCH = 64, 1024
"""Rows that are handed to an encoder at once."""

ROUNDING = 1e-6

GpuPool = TypeVar("GpuPool", EncodePool, ScorePool)


def fit_encoders(pool: EncodePool, device: str, found: Cluster) -> EncodePool:
    """A pool of encoders with every number decided, of the whole cluster."""
    on_gpus = _gpus(pool, device) > 0
    fitted = _fit("--encode-workers", pool, device, found, 1.0 if on_gpus else ENCODE_CPUS, int(found.cpus))
    return fitted.model_copy(update={"batch_size": pool.batch_size or (GPU_BATCH if on_gpus else CPU_BATCH)})


def fit_scorers(pool: ScorePool, device: str, found: Cluster) -> ScorePool:
    """A pool of scorers with every number decided, of the whole cluster."""
    return _fit("--score-workers", pool, device, found, 1.0, int(found.cpus / (pool.cpus or 1.0)))


def fit_encoders_and_decoders(encode: EncodePool, decode: Pool, device: str, found: Cluster) -> tuple[EncodePool, Pool]:
    """Both pools with every number decided, so that they run side by side on the cluster."""
    encode = fit_encoders(encode, device, found)
    taken = (encode.workers or 0) * (encode.cpus or 0)
    cpus = decode.cpus or (1.0 if encode.gpus else DECODE_CPUS)
    workers = decode.workers or max(1, int((found.cpus - taken) / cpus + ROUNDING))
    if taken + workers * cpus > found.cpus + ROUNDING:  # they would wait for each other for ever
        raise CallerError(
            f"--decode-workers {workers} with {cpus:g} CPUs each do not fit beside --encode-workers {encode.workers} "
            f"with {encode.cpus:g} CPUs each on a cluster of {found.cpus:g} CPUs"
        )
    return encode, decode.model_copy(update={"workers": workers, "cpus": cpus})


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
