"""A memory or an encoder that dies in the encode step costs time, and not a byte of the result."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.compute as compute
import pyarrow.parquet as pq
import ray
import ray.util

from pipelines.config.memory import Memory
from pipelines.verify.verify import verify
from tests.faults.remembering import (
    LOOKING_S,
    PARAMETERS,
    SHARDS,
    SLOWLY,
    asked,
    parts,
    poll,
    remembered_files,
    scanned,
    workers_of,
)

ACTOR, ENCODER = "MemoryActor", "EncodeShards"


def processes(name: str) -> list[int]:
    return workers_of(os.getpid(), name)


def the_actor() -> Any:
    """The memory's actor; one that follows another has no name while it starts."""

    def names() -> list[str]:
        return [name for name in ray.util.list_named_actors() if name.startswith("oodscan-memory-")]

    (name,) = poll(names)
    return ray.get_actor(name)


def kill_for_good() -> None:
    ray.kill(the_actor(), no_restart=True)


def kill_to_be_restarted() -> None:
    ray.kill(the_actor(), no_restart=False)


def kill_process(name: str) -> None:
    os.kill(processes(name)[0], signal.SIGKILL)


def killed(output: Path, name: str, kill: Callable[[], None], candidates: int) -> tuple[int, int]:
    """Kills once so many shards have offered what they have, and waits for the successor. How many shards had offered
    when the one was dead, and when the other was alive."""
    poll(lambda: parts(output, "memory/candidates") >= candidates)
    before = set(processes(name))
    assert before
    kill()
    poll(lambda: before - set(processes(name)), LOOKING_S)
    dead = parts(output, "memory/candidates")
    poll(lambda: set(processes(name)) - before, LOOKING_S)
    return dead, parts(output, "memory/candidates")


def test_a_memory_that_is_killed_three_times_comes_to_the_same(
    remembered: Path, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    ways = [kill_for_good, kill_to_be_restarted, partial(kill_process, ACTOR)]

    def all_ways() -> list[tuple[int, int]]:
        return [killed(tmp_path, ACTOR, kill, 1 + 4 * number) for number, kill in enumerate(ways)]

    with ThreadPoolExecutor(1) as beside:
        seen = beside.submit(all_ways)
        scanned(asked(dataset, bank_directory, tmp_path, encode=SLOWLY))
        found = seen.result()
    assert len(found) == 3
    assert all(1 <= dead <= again < SHARDS for dead, again in found)
    assert remembered_files(tmp_path) == remembered_files(remembered)
    assert verify(str(tmp_path), {}, tables=True).problems == []


def test_a_memory_that_is_killed_in_streaming_order_ends_with_the_same_images(
    remembered: Path, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    methods = ("neglabel", "adaneg")
    streaming = {
        "method": methods,
        "param": {name: value for name, value in PARAMETERS.items() if name.startswith(methods)},
        "order": "streaming",
        "reference": (),
        "memory": Memory(max_staleness=0),
    }
    with ThreadPoolExecutor(1) as beside:
        seen = beside.submit(killed, tmp_path, ACTOR, partial(kill_process, ACTOR), 3)
        scanned(asked(dataset, bank_directory, tmp_path, encode=SLOWLY).model_copy(update=streaming))
        dead, again = seen.result()
    assert 3 <= dead <= again < SHARDS
    found, expected = (pq.read_table(place / f"memory/snapshot-{SHARDS}.parquet") for place in (tmp_path, remembered))
    assert found.equals(expected.filter(compute.field("method") == "adaneg"))
    assert verify(str(tmp_path), {}, tables=True).problems == []


def test_an_encoder_that_is_killed_in_the_first_pass_costs_no_byte(
    remembered: Path, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(1) as beside:
        seen = beside.submit(killed, tmp_path, ENCODER, partial(kill_process, ENCODER), 3)
        scanned(asked(dataset, bank_directory, tmp_path, encode=SLOWLY))
        dead, again = seen.result()
    assert 3 <= dead <= again < SHARDS
    assert remembered_files(tmp_path) == remembered_files(remembered)
    assert verify(str(tmp_path), {}, tables=True).problems == []
