"""A scan killed at any moment, or robbed of a worker, ends with the bytes of an uninterrupted one when rerun."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipelines.config.pools import EncodePool
from pipelines.config.scan import Read, Scan
from pipelines.errors import CALLER_MISTAKE, TERMINATED
from pipelines.scans.scan import scan
from pipelines.verify.verify import verify

Start = Callable[[list[str], Path], subprocess.Popen]
OODSCAN = Path(sys.executable).with_name("oodscan")


def command(dataset: Path, bank: Path, output: Path) -> list[str]:
    given = ["--input", dataset, "--labels", bank, "--output", output, "--encode-workers", 1]
    given += ["--images-per-shard", 1, "--batch-size", 1, "--encode-block", 256]  # a range takes a forward pass of 256
    return [str(part) for part in [OODSCAN, "scan", *given, "--max-bad-fraction", "0.05"]]


def score_files(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (output / "scores").glob("part-*")}


@pytest.fixture(scope="module")
def uninterrupted(
    dataset: Path, bank_directory: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The same scan, faster: in this process, and in larger batches, which do not change a byte."""
    output = tmp_path_factory.mktemp("uninterrupted")
    chosen = Scan(
        input=(str(dataset),),
        labels=str(bank_directory),
        output=str(output),
        encode=EncodePool(workers=1, block=256),
        read=Read(images_per_shard=1),
        max_bad_fraction=0.05,
    )
    scan(chosen)
    return score_files(output)


@pytest.fixture
def started() -> Iterator[Start]:
    """Starts a scan in a process of its own, which says what it has to say in `place`/said."""
    running = []

    def start(asked: list[str], place: Path) -> subprocess.Popen:
        with (place / "said").open("w") as said:
            running.append(subprocess.Popen(asked, stdout=said, stderr=said))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], object], process: subprocess.Popen, place: Path, timeout_s: float = 240) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, (place / "said").read_text()
        assert time.monotonic() < end, (place / "said").read_text()
        time.sleep(0.001)


@pytest.mark.parametrize("commits", [0, 2])
def test_a_scan_killed_after_some_commits_is_finished_by_the_same_command(
    dataset: Path, bank_directory: Path, tmp_path: Path, uninterrupted: dict[str, bytes], started: Start, commits: int
) -> None:
    asked = command(dataset, bank_directory, tmp_path)
    killed = started(asked, tmp_path)
    if commits:
        wait_for(lambda: len(list(tmp_path.glob("scores/part-*"))) >= commits, killed, tmp_path)
    else:
        time.sleep(random.Random(commits).uniform(2, 8))
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = score_files(tmp_path)
    assert len(before) < len(uninterrupted)
    assert not (tmp_path / "_SUCCESS").exists()
    again = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=280)
    known = re.search(r"(\d+) already committed", again.stderr)
    assert known
    assert int(known[1]) >= len(before)  # orphans may have committed more
    assert score_files(tmp_path) == uninterrupted
    assert verify(str(tmp_path), {}, tables=True).problems == []


def test_a_scan_survives_the_death_of_an_encoding_worker(
    dataset: Path, bank_directory: Path, tmp_path: Path, uninterrupted: dict[str, bytes], started: Start
) -> None:
    running = started(command(dataset, bank_directory, tmp_path), tmp_path)
    wait_for(lambda: encoders_of(running), running, tmp_path)
    os.kill(encoders_of(running)[0], signal.SIGKILL)
    assert running.wait(timeout=280) == 0, (tmp_path / "said").read_text()
    assert score_files(tmp_path) == uninterrupted


def encoders_of(process: subprocess.Popen) -> list[int]:
    """Process ids of a scan's encoding workers."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie has no command line
            if "EncodeShards" in " ".join(child.cmdline()):
                found.append(child.pid)
    return found


def test_an_interrupted_scan_says_how_far_it_came_and_keeps_others_out_before(
    started: Start, dataset: Path, bank_directory: Path, tmp_path: Path, uninterrupted: dict[str, bytes]
) -> None:
    asked = command(dataset, bank_directory, tmp_path / "scan")
    running = started(asked, tmp_path)
    wait_for((tmp_path / "scan/lease.json").exists, running, tmp_path)
    second = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == CALLER_MISTAKE
    assert f"is being written to by process {running.pid} on " in second.stderr
    wait_for(lambda: len(score_files(tmp_path / "scan")) > 1, running, tmp_path)
    running.send_signal(signal.SIGTERM)
    assert running.wait(60) == TERMINATED
    *before, last = (tmp_path / "said").read_text().splitlines()
    assert re.fullmatch(rf"interrupted: \d+ of {len(uninterrupted)} shards committed; the same command goes on", last)
    assert not any("Traceback" in line or "(raylet)" in line for line in before)
