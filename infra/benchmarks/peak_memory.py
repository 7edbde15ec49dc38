"""Peak memory of `oodscan scan` on few and on many drawings: does it grow with the input?

Sums the proportional set sizes (PSS: shared pages are counted once) of the command and of every process that descends
from it or carries its mark in the environment, Ray's included, several times a second.

python -m infra.benchmarks.peak_memory [--counts 4000 20000] [--scratch DIR]
python -m infra.benchmarks.peak_memory --shards 100 1000 --object-store-mb 200

With --shards the input is so many tars of 100 tiny pictures each, which is hard on whatever keeps something a shard.
"""

import io
import json
import os
import shutil
import subprocess
import tarfile
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from infra.benchmarks.workloads import OODSCAN, drawings, machine, parser, say, scan_arguments

MARK = "OODSCAN_BENCHMARK_RUN"
INTERVAL_S = 0.5
BAR = 0.10
TINY = 100
"""Pictures a shard, with --shards."""
PROC = Path("/proc")


@dataclass
class Processes:
    """The processes of one run. A process whose parent has gone stays known, as long as it was seen once."""

    mark: bytes
    known: set[tuple[int, str]] = field(default_factory=set)

    def alive(self) -> list[int]:
        parents: dict[int, int] = {}
        members: set[int] = set()
        starts: dict[int, str] = {}
        for directory in PROC.glob("[0-9]*"):
            try:
                after_name = (directory / "stat").read_text().rpartition(")")[2].split()
                environment = (directory / "environ").read_bytes()
            except (OSError, UnicodeDecodeError):
                continue  # it has ended, or is another user's
            pid = int(directory.name)
            parents[pid], starts[pid] = int(after_name[1]), after_name[19]
            if self.mark in environment or (pid, starts[pid]) in self.known:
                members.add(pid)
        while fresh := {pid for pid, parent in parents.items() if parent in members} - members:
            members |= fresh
        self.known |= {(pid, starts[pid]) for pid in members}
        return sorted(members)

    def pss_by_name(self) -> Counter[str]:
        """Bytes by the process's name."""
        found: Counter[str] = Counter()
        for pid in self.alive():
            try:
                name = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                rollup = (PROC / str(pid) / "smaps_rollup").read_text()
            except OSError:
                continue
            kib = next((line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:")), "0")
            found[_short(name)] += int(kib) * 1024
        return found


def _short(command: str) -> str:
    words = command.split()
    if not words or words[0].startswith("ray::"):
        return command.strip()[:60] or "ending"
    return " ".join(Path(word).name for word in words[:2])[:60]


def tiny(scratch: Path, shards: int) -> Path:
    """A folder of so many tars of `TINY` pictures of 16 pixels a side, no two alike."""
    folder, random = scratch / f"tiny-{shards}", np.random.default_rng(0)
    if not folder.exists():
        folder.mkdir(parents=True)
        for shard in range(shards):
            with tarfile.open(folder / f"{shard:06d}.tar", "w") as tar:
                for number in range(TINY):
                    content = io.BytesIO()
                    Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(content, "PNG")
                    member = tarfile.TarInfo(f"{shard}-{number}.png")
                    member.size = content.tell()
                    tar.addfile(member, io.BytesIO(content.getvalue()))
    return folder


def peak(command: Sequence[str | Path], **environment: str) -> dict[str, Any]:
    """The largest sum seen while a command runs, and what it was made of. Raises RuntimeError if it fails."""
    mark = uuid.uuid4().hex
    processes = Processes(f"{MARK}={mark}".encode())
    largest: Counter[str] = Counter()
    samples = 0
    with subprocess.Popen(
        command, env=os.environ | {MARK: mark, **environment}, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as run:
        while run.poll() is None:
            now = processes.pss_by_name()
            samples += 1
            if now.total() > largest.total():
                largest = now
            with suppress(subprocess.TimeoutExpired):
                run.wait(INTERVAL_S)
    if run.returncode:
        raise RuntimeError(f"{command[0]} ended with exit code {run.returncode}")
    mib = {name: round(size / 2**20) for name, size in largest.most_common()}
    return {"peak_mib": largest.total() / 2**20, "samples": samples, "at_peak_mib": mib}


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--counts", type=int, nargs=2, default=(4000, 20_000), metavar=("FEW", "MANY"))
    options_of.add_argument("--shards", type=int, nargs=2, metavar=("FEW", "MANY"))
    options_of.add_argument("--object-store-mb", type=int, help="what Ray's object store may take; default: Ray's")
    options = options_of.parse_args()
    store = options.object_store_mb
    limits = {"RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": str(store * 10**6)} if store else {}
    host, runs = machine(), []
    for count in options.shards or options.counts:
        workload, output = drawings(options.scratch, 4000 if options.shards else count), options.scratch / "scan-memory"
        if options.shards:
            workload = replace(workload, tars=[tiny(options.scratch, count)], images=count * TINY)
        shutil.rmtree(output, ignore_errors=True)
        found = peak([OODSCAN, *map(str, scan_arguments(workload, output))], **limits)
        runs.append({"images": workload.images, **found})
        say(f"{count}: {runs[-1]['peak_mib']:.0f} MiB")
    ratio = runs[1]["peak_mib"] / runs[0]["peak_mib"]
    print(json.dumps({"machine": host, "runs": runs, "ratio": ratio, "within_bar": abs(ratio - 1) <= BAR}, indent=2))


if __name__ == "__main__":
    main()
