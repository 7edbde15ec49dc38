"""How long a newcomer waits: `oodscan demo` from nothing, and where the time goes; `--help`; a caller's mistake.

python -m infra.benchmarks.demo_time [--repeats 1] [--scratch DIR]
"""

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from infra.benchmarks.workloads import OODSCAN, machine, parser, say

BAR_S = 1.0
TRIES = 5
MISTAKES = {
    "help": ["--help"],
    "unknown option": ["scan", "--no-such-option"],
    "missing label bank": ["scan", "--input", "no-such.tar", "--labels", "no-such-bank", "--output", "no-such-scan"],
    "unknown method": ["scan", "--input", "x.tar", "--labels", "x", "--output", "x", "--method", "no-such-method"],
    "missing labels file": ["labels", "build", "--id-labels", "no-such.txt", "--output", "x", "--model", "bundled"],
}
EXPECTED = {"help": 0}


def demo(output: Path) -> dict[str, Any]:
    """One demo in an empty directory. `steps`: seconds since the start at which each line was printed."""
    shutil.rmtree(output, ignore_errors=True)
    start = time.perf_counter()
    steps: list[tuple[float, str]] = []
    command = [OODSCAN, "demo", "--output", str(output)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as run:
        for line in run.stderr or ():
            steps.append((round(time.perf_counter() - start, 2), line.rstrip()))
    wall_s = time.perf_counter() - start
    if run.returncode:
        raise RuntimeError(f"oodscan demo ended with exit code {run.returncode}: {steps[-5:]}")
    summary = json.loads((output / "scan" / "summary.json").read_text(encoding="utf-8"))
    return {"wall_s": wall_s, "steps": steps, "scan": summary["last_run"]}


def answer_s(arguments: list[str], expected: int, folder: Path) -> float:
    """Seconds until the command has answered: the best of several tries, the first one warming the disk's cache."""
    times = []
    for _ in range(TRIES):
        start = time.perf_counter()
        ended = subprocess.run([OODSCAN, *arguments], capture_output=True, text=True, cwd=folder)
        times.append(time.perf_counter() - start)
        if ended.returncode != expected:
            raise RuntimeError(f"oodscan {' '.join(arguments)}: exit {ended.returncode}\n{ended.stderr[-2000:]}")
    return min(times)


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--repeats", type=int, default=1, help="of the demo")
    options_of.add_argument("--answers-only", action="store_true", help="leave the demo out")
    options = options_of.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    host = machine()
    answers = {name: answer_s(given, EXPECTED.get(name, 2), options.scratch) for name, given in MISTAKES.items()}
    result: dict[str, Any] = {"machine": host, "answer_s": answers}
    result["within_bar"] = all(seconds < BAR_S for seconds in answers.values())
    if not options.answers_only:
        result["demo"] = []
        for _ in range(options.repeats):
            result["demo"].append(demo(options.scratch / "demo"))
            say(f"demo: {result['demo'][-1]['wall_s']:.1f} s")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
