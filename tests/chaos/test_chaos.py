"""Scans are disturbed at random, and end with the bytes of those that were left alone.

CHAOS_SEED chooses what is done to them, and CHAOS_S says for how many seconds; a last round ends when it ends.
"""

import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import s3fs

from pipelines.errors import CALLER_MISTAKE, INTERRUPTED, TERMINATED
from pipelines.runtime.cluster import cluster
from pipelines.scan_directory.layout import SUCCESS_FILE
from tests.chaos import disturbed
from tests.chaos.disturbed import Ending, Running, running, wait_for_files
from tests.chaos.failing_s3 import FailingS3, failing_s3
from tests.chaos.scene import METHODS, Scene, write_input

SEED = int(os.environ.get("CHAOS_SEED", "0"))
LASTS_S = float(os.environ.get("CHAOS_S", "120"))
FAILING_SHARE = 0.1
CREDENTIALS: dict[str, Any] = {"key": "AKtest", "secret": "SKtest"}
PAGE_BYTES = 4096

Disturb = Callable[[Running, random.Random], None]
SIGNALS: dict[str, tuple[Disturb, int | None]] = {
    "driver killed": (disturbed.kill_driver, -9),
    "worker killed": (disturbed.kill_worker, 0),
    "raylet killed": (disturbed.kill_raylet, None),
    "SIGTERM": (disturbed.terminate, TERMINATED),
    "SIGINT": (disturbed.interrupt, INTERRUPTED),
}
"""What is done to a scan, and the exit code with which it must end; None: with any."""
KINDS = (*SIGNALS, "failing storage", "full disk")


@dataclass
class Stage:
    """Where rounds take place, and what undisturbed scans have left, by kind and storage."""

    root: Path
    labels: Path
    server: FailingS3
    chance: random.Random
    undisturbed: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)

    def scene(self, name: str, methods: str) -> Scene:
        return Scene(methods, str(self.root / "input"), self.labels, str(self.root / name))

    def on_s3(self, name: str, methods: str) -> Scene:
        options = {"endpoint_url": self.server.url, **CREDENTIALS}
        return Scene(methods, "s3://chaos/input", self.labels, f"s3://chaos/{name}", options)

    def expected(self, scene: Scene) -> dict[str, bytes]:
        """What a scan like this one leaves that nobody disturbs."""
        name = scene.input, scene.kind
        if name not in self.undisturbed:
            self.undisturbed[name] = replace(scene, output=f"{scene.output}-undisturbed").finished()
        return self.undisturbed[name]


@pytest.fixture
def stage(tmp_path: Path, bank_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    write_input(tmp_path / "input")
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as ray_place,
        failing_s3(SEED) as server,
    ):
        files = s3fs.S3FileSystem(endpoint_url=server.url, **CREDENTIALS)
        files.call_s3("create_bucket", Bucket="chaos")
        files.put(str(tmp_path / "input"), "chaos/input", recursive=True)
        monkeypatch.setenv("RAY_TMPDIR", ray_place)
        with cluster():
            yield Stage(tmp_path, bank_directory, server, random.Random(SEED))


def signalled(stage: Stage, kind: str, name: str, methods: str) -> str:
    """A round in which something is killed, or told to end."""
    scene, (disturb, code) = stage.scene(name, methods), SIGNALS[kind]
    expected = stage.expected(scene)
    files, delay_s = stage.chance.randint(1, len(expected)), stage.chance.uniform(0, 1)
    with running(scene) as scan:
        wait_for_files(scan, scene, files, delay_s)
        late = scan.process.poll() is not None
        disturb(scan, stage.chance)
        ending = scan.ended()
        late = late or (Path(scene.output) / SUCCESS_FILE).exists()  # an interpreter that ends has no handlers any more
        if not late and code is not None:
            assert ending.code == code, ending
        if kind in ("SIGTERM", "SIGINT") and not late:
            assert ending.last_line.startswith("interrupted: "), ending
            assert "Traceback" not in ending.said, ending
        check(scene, expected)  # while orphans may still be alive
    return f"after {files} files and {delay_s:.1f} s{', too late' * late}: {_told(ending)}"


def on_failing_storage(stage: Stage, kind: str, name: str, methods: str) -> str:
    """A round in which the storage of input and output fails all the time, and is tried again."""
    scene = stage.on_s3(name, methods)
    expected = stage.expected(scene)
    stage.server.share = FAILING_SHARE
    try:
        with running(scene) as scan:
            ending = scan.ended()
    finally:
        stage.server.share = 0
    assert ending.code == 0, ending
    check(scene, expected)
    return f"{stage.server.spoiled.total()} answers spoiled so far: {_told(ending)}"


def on_full_disk(stage: Stage, kind: str, name: str, methods: str) -> str:
    """A round in which the disk of the output is too small, and is then made larger."""
    scene = stage.scene(name, methods)
    expected = stage.expected(scene)
    needed = sum(-(-len(content) // PAGE_BYTES) + 1 for content in expected.values()) * PAGE_BYTES
    size = round(needed * stage.chance.uniform(0.2, 0.9))
    Path(scene.output).mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", scene.output], capture_output=True)
    if mounted.returncode:
        return f"NOT TRIED: {mounted.stderr.decode().strip()}"
    try:
        with running(scene) as scan:
            ending = scan.ended()
        assert ending.code == CALLER_MISTAKE, ending
        assert ending.last_line.startswith("oodscan: --output "), ending
        assert "Traceback" not in ending.said, ending
        subprocess.run(["mount", "-o", "remount,size=64m", scene.output], check=True)
        check(scene, expected)
    finally:
        subprocess.run(["umount", scene.output], check=True)
    return f"{size} of some {needed} bytes: {_told(ending)}"


def check(scene: Scene, expected: dict[str, bytes]) -> None:
    """Holds what the same scan leaves, once nobody disturbs it, to what one left that was never disturbed."""
    found = scene.finished()
    assert sorted(found) == sorted(expected)
    assert [name for name in found if found[name] != expected[name]] == []
    assert "_SUCCESS" in found


def _told(ending: Ending) -> str:
    return f"exit code {ending.code}, {ending.last_line[:100]!r}"


@pytest.mark.timeout(LASTS_S + 600)
def test_a_scan_that_is_disturbed_ends_with_the_bytes_of_one_left_alone(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    started, longest_s = time.monotonic(), 0.0
    rounds = stage.chance.sample(KINDS, len(KINDS))
    methods = stage.chance.sample(list(METHODS), len(METHODS))
    for number, kind in enumerate(itertools.cycle(rounds)):
        if time.monotonic() - started + longest_s > LASTS_S:
            return
        chosen, name = methods[number % len(methods)], f"round-{number}"
        stage.expected((stage.on_s3 if kind == "failing storage" else stage.scene)(name, chosen))
        play = {"failing storage": on_failing_storage, "full disk": on_full_disk}.get(kind, signalled)
        begun = time.monotonic()
        outcome = play(stage, kind, name, chosen)
        took_s = time.monotonic() - begun
        longest_s = max(longest_s, took_s)
        with capsys.disabled():
            sys.stdout.write(f"\nCHAOS_SEED={SEED} round {number}, {took_s:.0f} s: {kind}, {chosen}: {outcome}")
            sys.stdout.flush()
