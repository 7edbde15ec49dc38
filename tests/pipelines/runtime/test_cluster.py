"""Pools that fit a cluster, and models that suit it; no Ray session is needed for either."""

import pytest
import ray.data

from pipelines.config.model import Model
from pipelines.config.pools import EncodePool, Pool
from pipelines.errors import CallerError
from pipelines.runtime.cluster import Cluster
from pipelines.runtime.model import ModelSpec, model_spec
from pipelines.runtime.pools import fit_encoders, fit_encoders_and_decoders
from pipelines.runtime.spread import limit_read_ahead


@pytest.mark.parametrize(
    ("cpus", "gpus", "device", "encoders", "decoders"),
    [
        (1, 0, "cpu", 1, 1),
        (2, 0, "cpu", 2, 2),
        (64, 0, "cpu", 64, 64),
        (16, 1, "cuda", 1, 15),
        (96, 8, "cuda", 8, 88),
        (16, 1, "cpu", 16, 16),
    ],
)
def test_pools_fill_the_cluster(cpus: int, gpus: int, device: str, encoders: int, decoders: int) -> None:
    encode, decode = fit_encoders_and_decoders(EncodePool(), Pool(), device, Cluster(cpus, gpus))
    assert (encode.workers, decode.workers) == (encoders, decoders)


def test_encoders_may_share_a_gpu() -> None:
    assert fit_encoders(EncodePool(gpus=0.25), "cuda", Cluster(16, 2)).workers == 8


@pytest.mark.parametrize(
    ("encode", "decode", "message"),
    [
        (EncodePool(workers=4), Pool(), "--encode-workers 4 with 0.6 CPUs and 0 GPUs each do not fit"),
        (
            EncodePool(workers=2, cpus=1),
            Pool(),
            "--decode-workers 1 with 0.4 CPUs each do not fit beside --encode-workers 2 with 1",
        ),
        (
            EncodePool(workers=1),
            Pool(workers=4),
            "--decode-workers 4 with 0.4 CPUs each do not fit beside --encode-workers 1",
        ),
        (EncodePool(gpus=1, workers=1), Pool(), "do not fit a cluster of 2 CPUs and 0 GPUs"),
    ],
)
def test_pools_that_would_wait_for_ever_are_refused(encode: EncodePool, decode: Pool, message: str) -> None:
    with pytest.raises(CallerError, match=message):
        fit_encoders_and_decoders(encode, decode, "cpu", Cluster(2, 0))


@pytest.mark.parametrize(
    ("gpus", "model", "expected"),
    [
        (0, Model(name="m"), ModelSpec("m", None, "cpu", "auto", 16)),
        (0, Model(name="m", compile=True), ModelSpec("m", None, "cpu", "auto", 16, compiled=True)),
        (0, Model(name="m", mixed_processors=True), ModelSpec("m", None, "cpu", "float32", 16, mixed=True)),
        (1, Model(name="m", pretrained="p"), ModelSpec("m", "p", "cuda", "bfloat16", 256, compiled="auto")),
        (1, Model(name="m", compile=False), ModelSpec("m", None, "cuda", "bfloat16", 256)),
        (1, Model(name="m", device="cpu"), ModelSpec("m", None, "cpu", "auto", 16)),
        (1, Model(name="m", dtype="float16"), ModelSpec("m", None, "cuda", "float16", 256, compiled="auto")),
    ],
)
def test_a_model_runs_on_a_gpu_in_bfloat16_where_there_is_one_and_else_workers_decide(
    gpus: int, model: Model, expected: ModelSpec
) -> None:
    assert model_spec(model, EncodePool(), Cluster(16, gpus)) == expected


@pytest.mark.parametrize(
    ("workers", "batch_size", "limit"), [(2, 64, 2**31), (8, 1024, 2**35), (1, 1, 2**30)], ids=["cpu", "gpu", "least"]
)
def test_decoders_run_ahead_by_four_batches_an_encoder(workers: int, batch_size: int, limit: int) -> None:
    limit_read_ahead(EncodePool(workers=workers, batch_size=batch_size), 2**20)
    limits = ray.data.DataContext.get_current().execution_options.resource_limits
    assert limits.object_store_memory == limit


def test_small_pictures_are_not_held_back() -> None:
    limit_read_ahead(EncodePool(workers=1), 1)
    assert ray.data.DataContext.get_current().execution_options.resource_limits.object_store_memory == 64 * 2**20


def test_a_gpu_is_not_taken_from_a_cluster_that_has_none() -> None:
    with pytest.raises(CallerError, match="--device cuda: the cluster has no GPU"):
        model_spec(Model(name="m", device="cuda"), EncodePool(), Cluster(16, 0))
