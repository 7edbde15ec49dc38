"""Pools that fit a cluster, and models that suit it; no Ray session is needed for either."""

import pytest
from pydantic import ValidationError

from pipelines.config.model import Model
from pipelines.config.pools import EncodePool
from pipelines.errors import CallerError
from pipelines.runtime.cluster import Cluster, Node
from pipelines.runtime.model import ModelSpec, model_spec
from pipelines.runtime.pools import GROWTH, fit_encoders
from pipelines.runtime.spread import ranges


def cluster_of(*nodes: tuple[float, float], joined: bool = False) -> Cluster:
    return Cluster(tuple(Node(cpus, gpus) for cpus, gpus in nodes), joined)


@pytest.mark.parametrize(
    ("nodes", "device", "encoders", "threads"),
    [
        ([(1, 0)], "cpu", 1, 1),
        ([(2, 0)], "cpu", 2, 1),
        ([(64, 0)], "cpu", 64, 1),
        ([(16, 1)], "cuda", 1, 16),
        ([(96, 8)], "cuda", 8, 12),
        ([(8, 0), (96, 8), (96, 8)], "cuda", 16, 12),
        ([(2.5, 0), (2.5, 0)], "cpu", 4, 1),
    ],
)
def test_encoders_fill_every_node(nodes: list[tuple[float, float]], device: str, encoders: int, threads: int) -> None:
    found = cluster_of(*nodes)
    fitted = fit_encoders(EncodePool(), device, found)
    assert (fitted.workers, fitted.least_workers, fitted.decode_threads) == (encoders, encoders, threads)
    assert found.room(fitted.cpus or 0, fitted.gpus or 0) == encoders


def test_a_fraction_of_a_gpu_counts_on_its_own_node() -> None:
    found = cluster_of((16, 1), (16, 1))
    assert fit_encoders(EncodePool(gpus=0.25), "cuda", found).workers == 8
    assert fit_encoders(EncodePool(gpus=0.4), "cuda", found).workers == 4


def test_a_number_that_was_given_stays() -> None:
    fitted = fit_encoders(EncodePool(workers=3, cpus=2, decode_threads=7, batch_size=9), "cpu", cluster_of((64, 0)))
    assert (fitted.workers, fitted.least_workers, fitted.cpus) == (3, 3, 2)
    assert (fitted.decode_threads, fitted.batch_size) == (7, 9)


def test_a_pool_may_grow_with_a_cluster_that_was_there_before() -> None:
    fitted = fit_encoders(EncodePool(), "cpu", cluster_of((4, 0), joined=True))
    assert (fitted.least_workers, fitted.workers) == (4, 4 * GROWTH)
    fitted = fit_encoders(EncodePool(workers="2-9"), "cpu", cluster_of((4, 0)))  # pyright: ignore[reportArgumentType]
    assert (fitted.least_workers, fitted.workers) == (2, 9)


@pytest.mark.parametrize("given", ["9-2", "0-3", "two", "-3", "1-2-3"])
def test_a_range_of_workers_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(ValidationError):
        EncodePool(workers=given)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("encode", "device", "message"),
    [
        (EncodePool(workers=4), "cpu", "--encode-workers 4: the cluster has no room for 4 x 1 CPUs: 1 x 2 CPUs and 0"),
        (EncodePool(gpus=1, workers=1), "cpu", "--encode-workers 1: the cluster has no room for 1 x 1 CPUs and 1 GPUs"),
        (EncodePool(), "cuda", "--device cuda: the cluster has no room for 1 x 1 CPUs and 1 GPUs: 1 x 2 CPUs and 0"),
        (EncodePool(workers=1, cpus=3), "cpu", "no room for 1 x 3 CPUs"),
    ],
)
def test_pools_that_would_wait_for_ever_are_refused(encode: EncodePool, device: str, message: str) -> None:
    with pytest.raises(CallerError, match=message):
        fit_encoders(encode, device, cluster_of((2, 0)))


def test_a_worker_that_no_single_node_has_room_for_does_not_fit() -> None:
    with pytest.raises(CallerError, match="no room for 1 x 3 CPUs: 2 x 2 CPUs and 0 GPUs"):
        fit_encoders(EncodePool(workers=1, cpus=3), "cpu", cluster_of((2, 0), (2, 0)))


@pytest.mark.parametrize(
    ("gpus", "model", "expected"),
    [
        (0, Model(name="m"), ModelSpec("m", None, "cpu", "auto", 32)),
        (0, Model(name="m", compile=True), ModelSpec("m", None, "cpu", "auto", 32, compiled=True)),
        (0, Model(name="m", mixed_processors=True), ModelSpec("m", None, "cpu", "float32", 32, mixed=True)),
        (1, Model(name="m", pretrained="p"), ModelSpec("m", "p", "cuda", "bfloat16", 256, compiled="auto")),
        (1, Model(name="m", compile=False), ModelSpec("m", None, "cuda", "bfloat16", 256)),
        (1, Model(name="m", device="cpu"), ModelSpec("m", None, "cpu", "auto", 32)),
        (1, Model(name="m", dtype="float16"), ModelSpec("m", None, "cuda", "float16", 256, compiled="auto")),
    ],
)
def test_a_model_runs_on_a_gpu_in_bfloat16_where_there_is_one_and_else_workers_decide(
    gpus: int, model: Model, expected: ModelSpec
) -> None:
    assert model_spec(model, EncodePool(), cluster_of((16, gpus))) == expected


@pytest.mark.parametrize(
    ("items", "workers", "length", "count"), [(1, 8, 1, 1), (20, 2, 1, 20), (1000, 2, 41, 25), (10**6, 512, 162, 6173)]
)
def test_every_worker_is_given_some_ranges(items: int, workers: int, length: int, count: int) -> None:
    found = ranges(range(items), workers)
    assert [item for part in found for item in part] == list(range(items))
    assert (len(found[0]), len(found)) == (length, count)


def test_nothing_is_cut_into_no_range() -> None:
    assert ranges([], 3) == []
