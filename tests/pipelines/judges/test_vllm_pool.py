"""How many engines a cluster gets, and which weights a directory holds; vLLM itself is in tests/vllm."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.config.judges import Vllm
from pipelines.errors import CallerError
from pipelines.judges.model_digest import digest
from pipelines.judges.vllm_pool import fit_engines


@pytest.mark.parametrize(
    ("given", "cpus", "gpus", "workers", "gpus_each", "processor"),
    [
        ({}, 2, 0, 1, 0, False),  # a model of many gigabytes in every process is not for granted
        ({"workers": 2}, 2, 0, 2, 0, False),
        ({"engine": "processor"}, 2, 0, 1, 0, True),
        ({}, 16, 8, 8, 1, True),
        ({"tensor_parallel": 4}, 16, 8, 2, 4, True),
        ({"engine": "in-process", "workers": 3}, 16, 8, 3, 1, False),
    ],
)
def test_the_pool_fits_the_cluster(
    given: dict[str, Any], cpus: float, gpus: float, workers: int, gpus_each: int, processor: bool
) -> None:
    pool = fit_engines(Vllm(**given), cpus, gpus)
    assert (pool.workers, pool.gpus, pool.processor) == (workers, gpus_each, processor)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"workers": 3}, "--judge-workers 3 with 1 CPU each do not fit a cluster of 2 CPUs and 0 GPUs"),
        ({"tensor_parallel": 2}, "--judge-tensor-parallel 2: the cluster has no GPU"),
    ],
)
def test_a_pool_that_does_not_fit_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(CallerError, match=message):
        fit_engines(Vllm(**given), 2, 0)


def test_more_gpus_to_an_engine_than_there_are_are_refused() -> None:
    with pytest.raises(CallerError, match=r"--judge-workers 1 with 4 GPUs \(--judge-tensor-parallel\) each"):
        fit_engines(Vllm(tensor_parallel=4), 16, 2)


def test_other_weights_of_the_same_size_in_the_same_directory_are_another_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"a" * 200_000 + b"b")
    first = digest(tmp_path)
    assert digest(tmp_path) == first
    (tmp_path / "model.safetensors").write_bytes(b"a" * 200_000 + b"c")
    assert digest(tmp_path) != first
