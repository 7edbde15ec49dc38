"""A scan on a cluster that loses a node, and with it the memory and half of the workers, ends with the same bytes."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from pipelines.verify.verify import verify
from tests.faults.remembering import LOOKING_S, SHARDS, command, new_cluster, parts, poll, remembered_files, workers_of

ACTOR, STAGES = "MemoryActor", ("EncodeShards",)
POOLS = ["--encode-workers", 2, "--encode-cpus", 1]
"""As many as one node has CPUs for."""


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster of a head and another node."""
    with new_cluster(monkeypatch, cpus=2) as cluster:
        cluster.add_node(num_cpus=2)
        yield cluster


def raylet_of(node: Any) -> int:
    return node.all_processes["raylet"][0].process.pid


def drive_memory_to(node: Any, other: Any) -> None:
    """Kills the actor until Ray, which chooses at random, has started it on the node."""

    def arrived() -> list[int]:
        for pid in workers_of(raylet_of(other), ACTOR):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return workers_of(raylet_of(node), ACTOR)

    poll(arrived, LOOKING_S)


def test_a_node_that_is_lost_with_the_memory_on_it_costs_no_byte(
    remembered: Path, dataset: Path, bank_directory: Path, tmp_path: Path, two_nodes: Cluster
) -> None:
    (lost,) = two_nodes.worker_nodes
    asked = command(dataset, bank_directory, tmp_path, *POOLS, "--address", two_nodes.address)
    with (tmp_path / "said").open("w") as said:
        running = subprocess.Popen(asked, stdout=said, stderr=said)
    try:
        poll(lambda: parts(tmp_path, "memory/candidates"))
        drive_memory_to(lost, two_nodes.head_node)
        aboard = {name: len(workers_of(raylet_of(lost), name)) for name in (ACTOR, *STAGES)}
        two_nodes.remove_node(lost, allow_graceful=False)
        assert parts(tmp_path, "memory/candidates") < SHARDS
        assert running.wait(timeout=240) == 0, (tmp_path / "said").read_text()
    finally:
        running.kill()
        running.wait()
    assert aboard[ACTOR] == 1
    assert sum(aboard.values()) > 1
    assert remembered_files(tmp_path) == remembered_files(remembered)
    assert verify(str(tmp_path), {}, tables=True).problems == []
