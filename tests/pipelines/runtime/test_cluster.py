"""Pools that fit a cluster, and models that suit it; no Ray session is needed for either."""

import pytest

from pipelines.config.model import Model
from pipelines.config.pools import EncodePool
from pipelines.errors import CallerError
from pipelines.runtime.cluster import Cluster
from pipelines.runtime.model import ModelSpec, model_spec
from pipelines.runtime.pools import fit_encoders
from pipelines.runtime.spread import ranges


@pytest.mark.parametrize(
    ("cpus", "gpus", "device", "encoders", "threads"),
    [(1, 0, "cpu", 1, 1), (2, 0, "cpu", 2, 1), (64, 0, "cpu", 64, 1), (16, 1, "cuda", 1, 16), (96, 8, "cuda", 8, 12)],
)
def test_encoders_fill_the_cluster(cpus: int, gpus: int, device: str, encoders: int, threads: int) -> None:
    fitted = fit_encoders(EncodePool(), device, Cluster(cpus, gpus))
    assert (fitted.workers, fitted.decode_threads) == (encoders, threads)
    assert (fitted.workers or 0) * (fitted.cpus or 0) <= cpus


def test_a_number_that_was_given_stays() -> None:
    fitted = fit_encoders(EncodePool(workers=3, cpus=2, decode_threads=7, batch_size=9), "cpu", Cluster(64, 0))
    assert (fitted.workers, fitted.cpus, fitted.decode_threads, fitted.batch_size) == (3, 2, 7, 9)


def test_encoders_may_share_a_gpu() -> None:
    assert fit_encoders(EncodePool(gpus=0.25), "cuda", Cluster(16, 2)).workers == 8


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (EncodePool(workers=4), "--encode-workers 4 with 1 CPUs and 0 GPUs each do not fit"),
        (EncodePool(gpus=1, workers=1), "do not fit a cluster of 2 CPUs and 0 GPUs"),
    ],
)
def test_pools_that_would_wait_for_ever_are_refused(encode: EncodePool, message: str) -> None:
    with pytest.raises(CallerError, match=message):
        fit_encoders(encode, "cpu", Cluster(2, 0))


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
    ("items", "workers", "length", "count"), [(1, 8, 1, 1), (20, 2, 1, 20), (1000, 2, 41, 25), (10**6, 512, 162, 6173)]
)
def test_every_worker_is_given_some_ranges(items: int, workers: int, length: int, count: int) -> None:
    found = ranges(range(items), workers)
    assert [item for part in found for item in part] == list(range(items))
    assert (len(found[0]), len(found)) == (length, count)


def test_nothing_is_cut_into_no_range() -> None:
    assert ranges([], 3) == []


def test_a_gpu_is_not_taken_from_a_cluster_that_has_none() -> None:
    with pytest.raises(CallerError, match="--device cuda: the cluster has no GPU"):
        model_spec(Model(name="m", device="cuda"), EncodePool(), Cluster(16, 0))
