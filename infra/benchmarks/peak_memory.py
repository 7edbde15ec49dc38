"""Peak memory of `oodscan scan` on few and on many drawings: does it grow with the input?

Sums the proportional set sizes (PSS: shared pages are counted once) of the command and of every process that descends
from it or carries its mark in the environment, Ray's included, several times a second.

python -m infra.benchmarks.peak_memory [--counts 4000 20000] [--scratch DIR]
"""

import json
import os
import shutil
import subprocess
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.benchmarks.workloads import OODSCAN, drawings, machine, parser, say, scan_arguments

MARK = "OODSCAN_BENCHMARK_RUN"
INTERVAL_S = 0.5
BAR = 0.10
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


def peak(command: Sequence[str | Path]) -> dict[str, Any]:
    """The largest sum seen while a command runs, and what it was made of. Raises RuntimeError if it fails."""
    mark = uuid.uuid4().hex
    processes = Processes(f"{MARK}={mark}".encode())
    largest: Counter[str] = Counter()
    samples = 0
    with subprocess.Popen(
        command, env=os.environ | {MARK: mark}, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
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
    options = options_of.parse_args()
    host, runs = machine(), []
    for count in options.counts:
        workload, output = drawings(options.scratch, count), options.scratch / "scan-memory"
        shutil.rmtree(output, ignore_errors=True)
        runs.append({"images": workload.images, **peak([OODSCAN, *map(str, scan_arguments(workload, output))])})
        say(f"{count}: {runs[-1]['peak_mib']:.0f} MiB")
    ratio = runs[1]["peak_mib"] / runs[0]["peak_mib"]
    print(json.dumps({"machine": host, "runs": runs, "ratio": ratio, "within_bar": abs(ratio - 1) <= BAR}, indent=2))


if __name__ == "__main__":
    main()
