"""Images/s of `oodscan scan --method adaneg`, in transductive or in streaming order, against `--method neglabel`.

The same drawings, bundled model and encode pool, in turn, each in a process of its own. `steady` is from the first
encoder being ready to the last row of the last step, the start of the score step's workers included; `wall` is the
whole command.

python -m infra.benchmarks.two_passes [--drawing-count 20000] [--repeats 3] [--scratch DIR]
"""

import json
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from infra.benchmarks.scan_speed import TWO_ENCODERS
from infra.benchmarks.workloads import Workload, drawings, machine, oodscan, parser, say, scan_arguments

SCANS: dict[str, tuple[str, list[str]]] = {
    "neglabel": ("neglabel", []),
    "adaneg": ("adaneg", []),
    "adaneg, streaming": ("adaneg", ["--order", "streaming"]),
}
"""By method and further options."""


def scan(workload: Workload, output: Path, name: str) -> dict[str, Any]:
    """One run in an empty directory."""
    method, more = SCANS[name]
    shutil.rmtree(output, ignore_errors=True)
    start = time.perf_counter()
    oodscan(scan_arguments(workload, output, *TWO_ENCODERS.options(), *more, method=method))
    wall_s = time.perf_counter() - start
    run = json.loads((output / "summary.json").read_text(encoding="utf-8"))["last_run"]
    return {
        "steady_images_per_s": run["steady_images_per_s"],
        "wall_s": wall_s,
        "steps_s": run["steps_s"],
        "memory": run.get("memory"),
        "limited_by": run["limited_by"],
    }


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--repeats", type=int, default=3)
    options_of.add_argument("--drawing-count", type=int, default=20_000)
    options = options_of.parse_args()
    workload = drawings(options.scratch, options.drawing_count)
    runs: list[dict[str, Any]] = []
    for _ in range(options.repeats):
        found = {name: scan(workload, options.scratch / "two-passes", name) for name in SCANS}
        base = found["neglabel"]
        for name, run in found.items():
            run["steady_to_neglabel"] = run["steady_images_per_s"] / base["steady_images_per_s"]
            run["wall_to_neglabel"] = base["wall_s"] / run["wall_s"]
            say(f"{name}: {run}")
        runs.append(found)
    medians = {
        name: {
            ratio: statistics.median(run[name][ratio] for run in runs)
            for ratio in ("steady_to_neglabel", "wall_to_neglabel")
        }
        for name in SCANS
    }
    print(json.dumps({"machine": machine(), "medians": medians, "runs": runs}, indent=2))


if __name__ == "__main__":
    main()
