"""A scan in a process of its own, with a Ray of its own, and what may be done to it."""

import contextlib
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.chaos.scene import Scene

AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Ray's own, with each of which the raylet ends, and so the scan."""
LONGEST_S = 200
POLL_S = 0.05


@dataclass(frozen=True)
class Ending:
    """How a disturbed scan has ended: its exit code and what it has said."""

    code: int
    said: str

    @property
    def last_line(self) -> str:
        return self.said.strip().rpartition("\n")[2]


@dataclass(frozen=True)
class Running:
    """A scan that runs; what it says goes to a file in `place`, which is where its Ray keeps everything too."""

    process: subprocess.Popen
    place: Path

    def family(self) -> list[psutil.Process]:
        """The processes under the driver: Ray's own and its workers."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def ended(self) -> Ending:
        """How the scan ends. Raises subprocess.TimeoutExpired if it does not."""
        self.process.wait(LONGEST_S)
        return Ending(self.process.returncode, (self.place / "said").read_text())


@contextmanager
def running(scene: Scene) -> Iterator[Running]:
    """Starts the scan; in the end nothing of it and its Ray is alive."""
    # The directory's name is short, as paths of sockets have to be.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as name:
        place = Path(name)
        with (place / "said").open("w") as said:
            process = subprocess.Popen(
                scene.command(place),
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=os.environ | {"RAY_TMPDIR": name},
                start_new_session=True,
            )
        try:
            yield Running(process, place)
        finally:
            process.kill()
            process.wait()
            for left in _of_place(name):
                left.kill()


def _of_place(place: str) -> Iterator[psutil.Process]:
    """The processes, orphans too, whose Ray is at a place."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("RAY_TMPDIR") == place:
                yield process


def wait_for_files(scan: Running, scene: Scene, count: int, delay_s: float) -> None:
    """Until so many files have been seen in a local scan directory, and some time more, or the scan has ended."""
    seen: set[Path] = set()
    while len(seen) < count and scan.process.poll() is None:
        seen.update(path for path in Path(scene.output).rglob("*") if path.is_file())
        time.sleep(POLL_S)
    with contextlib.suppress(subprocess.TimeoutExpired):
        scan.process.wait(delay_s)


def kill_driver(scan: Running, chance: random.Random) -> None:
    os.killpg(scan.process.pid, signal.SIGKILL)


def kill_worker(scan: Running, chance: random.Random) -> None:
    _kill_one(scan, chance, lambda process: _title(process).startswith("ray::") and _title(process) not in AGENTS)


def kill_raylet(scan: Running, chance: random.Random) -> None:
    _kill_one(scan, chance, lambda process: process.name() == "raylet" or _title(process) in AGENTS)


def terminate(scan: Running, chance: random.Random) -> None:
    scan.process.send_signal(signal.SIGTERM)


def interrupt(scan: Running, chance: random.Random) -> None:
    scan.process.send_signal(signal.SIGINT)


def _title(process: psutil.Process) -> str:
    return next(iter(process.cmdline()), "")


def _kill_one(scan: Running, chance: random.Random, chosen: Callable[[psutil.Process], object]) -> None:
    """Kills one of the scan's processes, once there is one of the kind."""
    found: list[psutil.Process] = []
    while not found and scan.process.poll() is None:
        time.sleep(POLL_S)
        for process in scan.family():
            with contextlib.suppress(psutil.Error):
                found += [process] if chosen(process) else []
    if found:
        with contextlib.suppress(psutil.NoSuchProcess):
            chance.choice(found).kill()
