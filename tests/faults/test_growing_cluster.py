"""A scan on a cluster that is still small: it waits for what it needs, and uses nodes that come later."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from pipelines.errors import INTERRUPTED, TERMINATED
from pipelines.verify.verify import verify
from tests.faults.remembering import DTYPE, LOOKING_S, new_cluster, parts, poll, workers_of

Scanning = Callable[..., AbstractContextManager[subprocess.Popen]]
"""Starts a scan with more options."""


@pytest.fixture
def small_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster of one node without GPUs."""
    with new_cluster(monkeypatch, cpus=1) as cluster:
        yield cluster


@pytest.fixture
def scanning(dataset: Path, bank_directory: Path, tmp_path: Path, small_cluster: Cluster) -> Scanning:
    """Runs a scan on the cluster in a process of its own; what it says lies in `said`."""

    @contextlib.contextmanager
    def run(*more: object) -> Iterator[subprocess.Popen]:
        given = ["scan", "--input", dataset, "--labels", bank_directory, "--output", tmp_path / "scan"]
        given += ["--method", "mcm", "--max-bad-fraction", 0.05, "--images-per-shard", 1]
        given += ["--dtype", DTYPE, "--address", small_cluster.address, *more]
        oodscan = Path(sys.executable).with_name("oodscan")
        with (tmp_path / "said").open("w") as said:
            process = subprocess.Popen([str(part) for part in (oodscan, *given)], stdout=said, stderr=said)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    return run


def test_a_node_that_comes_later_is_used(scanning: Scanning, small_cluster: Cluster, tmp_path: Path) -> None:
    with scanning("--encode-workers", "1-3", "--encode-cpus", 1, "--encode-block", 384) as process:
        poll(lambda: parts(tmp_path / "scan", "scores"))
        raylet = small_cluster.add_node(num_cpus=2).all_processes["raylet"][0].process.pid
        poll(lambda: workers_of(raylet, "EncodeShards") or process.poll() is not None, LOOKING_S)
        assert workers_of(raylet, "EncodeShards"), (tmp_path / "said").read_text()
        assert process.wait(timeout=240) == 0, (tmp_path / "said").read_text()
    assert verify(str(tmp_path / "scan"), {}, tables=True).problems == []


def test_a_gpu_is_waited_for_and_its_lack_is_said_in_the_end(
    scanning: Scanning, small_cluster: Cluster, tmp_path: Path
) -> None:
    with scanning("--device", "cuda", "--wait-s", 5) as process:
        assert process.wait(timeout=120) == 2
    said = (tmp_path / "said").read_text()
    assert "--device cuda: waiting 5 s at most for 1 x 1 CPUs and 1 GPUs; the cluster has 1 x 1 CPUs and 0 GPUs" in said
    assert "1 x 1 CPUs and 0 GPUs, and 5 s have passed (--wait-s)" in said
    assert not (tmp_path / "scan" / "scan.json").exists()


def test_a_scan_goes_on_once_the_gpu_is_there_that_it_has_waited_for(
    scanning: Scanning, small_cluster: Cluster, tmp_path: Path
) -> None:
    """The node only says that it has a GPU: the worker that is to load the model there finds none."""
    with scanning("--device", "cuda", "--wait-s", 120) as process:
        poll(lambda: "waiting 120 s at most" in (tmp_path / "said").read_text(), LOOKING_S)
        small_cluster.add_node(num_cpus=1, num_gpus=1)
        assert process.wait(timeout=110) == 2
    said = (tmp_path / "said").read_text()
    assert "have passed" not in said
    assert "cannot be put on the device 'cuda'" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, TERMINATED), (signal.SIGINT, INTERRUPTED)])
def test_a_scan_on_a_cluster_that_it_has_joined_is_interrupted_in_a_line(
    scanning: Scanning, tmp_path: Path, number: int, code: int
) -> None:
    """As `ray job stop` does it, which sends SIGTERM and, three seconds later, SIGKILL."""
    with scanning("--encode-workers", 1, "--encode-block", 384, "--batch-size", 1) as process:
        poll(lambda: parts(tmp_path / "scan", "scores"))
        process.send_signal(number)
        sent = time.monotonic()
        poll(lambda: "interrupted: " in (tmp_path / "said").read_text())
        assert time.monotonic() - sent < 3
        assert process.wait(timeout=60) == code
    said = (tmp_path / "said").read_text()
    assert said.splitlines()[-1].startswith("interrupted: ")
    assert "Traceback" not in said
    with scanning("--encode-workers", 1, "--encode-block", 384) as process:
        assert process.wait(timeout=240) == 0, (tmp_path / "said").read_text()
    assert verify(str(tmp_path / "scan"), {}, tables=True).problems == []
