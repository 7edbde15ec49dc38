"""Images/s of `oodscan scan` against the plain loop, side by side: the two in turn, each in processes of its own.

Steady rates: the plain loop's from its first picture, oodscan's from its first encoder being ready, both to the last
row written. Whole wall times, start-up included, stand beside them. The scores of both are compared by key.

`--before`: a checkout of another commit, whose `oodscan scan` runs in turn with these, in this Python.

python -m infra.benchmarks.scan_speed [--only photos|drawings|jpegs] [--before DIR] [--repeats 3] [--scratch DIR]
"""

import json
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from infra.benchmarks.make_data import PHOTOS, REPOSITORY
from infra.benchmarks.workloads import Workload, drawings, jpegs, machine, oodscan, parser, photos, say, scan_arguments

TARS_TO_TRY_SETTINGS = 4


@dataclass(frozen=True)
class Setting:
    """An encode pool."""

    workers: int
    threads: int

    def options(self) -> list[str]:
        return ["--encode-workers", str(self.workers), "--encode-threads", str(self.threads)]


PHOTO_SETTINGS = (Setting(2, 1), Setting(1, 2))
TWO_ENCODERS = Setting(2, 1)


def plain(workload: Workload, output: Path) -> dict[str, Any]:
    """One run of the plain loop."""
    start = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "infra.benchmarks.plain_loop", "--model", workload.model, "--labels", workload.bank,
         "--batch", str(workload.plain_batch), "--output", output, *workload.tars],
        check=True, capture_output=True, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    return json.loads(ended.stdout) | {"wall_s": time.perf_counter() - start}


def scan(workload: Workload, output: Path, setting: Setting, checkout: Path | None = None) -> dict[str, Any]:
    """One run of oodscan in an empty output directory: `last_run` of its summary."""
    shutil.rmtree(output, ignore_errors=True)
    start = time.perf_counter()
    oodscan(scan_arguments(workload, output, *setting.options()), checkout=checkout)
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    return summary["last_run"] | {"wall_s": time.perf_counter() - start}


def best_setting(workload: Workload, scratch: Path) -> tuple[Setting, dict[str, float]]:
    """The encode pool that does a few shards fastest, and every rate."""
    few = replace(workload, tars=workload.tars[:TARS_TO_TRY_SETTINGS])
    rates = {setting: scan(few, scratch / "try", setting)["steady_images_per_s"] for setting in PHOTO_SETTINGS}
    named = {f"{setting.workers} workers x {setting.threads} threads": rate for setting, rate in rates.items()}
    return max(rates, key=lambda setting: rates[setting]), named


def largest_difference(plain_output: Path, scan_output: Path) -> float:
    """Of the two score columns, by key. Raises RuntimeError if the keys are not the same."""
    tables = [pq.read_table(where, columns=["key", "score_neglabel"]) for where in (plain_output, scan_output)]
    ours, theirs = (table.sort_by("key") for table in tables)
    if ours["key"].to_pylist() != theirs["key"].to_pylist():
        raise RuntimeError(f"{plain_output} and {scan_output} hold different keys")
    return float(np.abs(ours["score_neglabel"].to_numpy() - theirs["score_neglabel"].to_numpy()).max())


def compare(workload: Workload, scratch: Path, setting: Setting, repeats: int, before: Path | None) -> dict[str, Any]:
    """`repeats` runs of each, in turn. `before`: the checkout of another commit, if that runs too."""
    plain_output, scan_output = scratch / "plain.parquet", scratch / "scan"
    runs = []
    for repeat in range(repeats):
        loop = plain(workload, plain_output)
        piped = scan(workload, scan_output, setting)
        runs.append(
            {
                "plain_images_per_s": loop["images_per_s"],
                "oodscan_images_per_s": piped["steady_images_per_s"],
                "ratio": piped["steady_images_per_s"] / loop["images_per_s"],
                "plain_wall_s": loop["wall_s"],
                "oodscan_wall_s": piped["wall_s"],
                "oodscan_start_up_s": piped["start_up_s"],
                "first_commit_after_worker_s": piped["first_commit_after_worker_s"],
                "limited_by": piped["limited_by"],
                "stages": {name: stage["images_per_s"] for name, stage in piped["stages"].items()},
                "largest_score_difference": largest_difference(plain_output, scan_output / "scores"),
            }
        )
        if before:
            rate = scan(workload, scratch / "before", setting, before)["steady_images_per_s"]
            runs[-1] |= {"before_images_per_s": rate, "before_ratio": piped["steady_images_per_s"] / rate}
        say(f"{workload.name}, {repeat + 1} of {repeats}: {runs[-1]}")
    medians = {f"median_{name}": _median(runs, name) for name in runs[0] if name.endswith(("_per_s", "ratio"))}
    return {"workload": workload.name, "encode_pool": vars(setting), **medians, "runs": runs}


def _median(runs: list[dict[str, Any]], name: str) -> float:
    return statistics.median(run[name] for run in runs)


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--only", choices=("photos", "drawings", "jpegs"))
    options_of.add_argument("--before", type=Path, help="a checkout of another commit")
    options_of.add_argument("--repeats", type=int, default=3)
    options_of.add_argument("--photos", type=Path, default=PHOTOS, help="a folder of JPEGs")
    options_of.add_argument("--photo-count", type=int, default=1000)
    options_of.add_argument("--drawing-count", type=int, default=20_000)
    options_of.add_argument("--jpeg-count", type=int, default=20_000)
    options = options_of.parse_args()
    scratch: Path = options.scratch
    result: dict[str, Any] = {"machine": machine()}
    if options.only in (None, "photos"):
        workload = photos(scratch, options.photo_count, options.photos)
        setting, tried = best_setting(workload, scratch)
        found = compare(workload, scratch, setting, options.repeats, options.before)
        result["photos"] = found | {"settings_tried": tried}
    if options.only in (None, "drawings"):
        workload = drawings(scratch, options.drawing_count)
        result["drawings"] = compare(workload, scratch, TWO_ENCODERS, options.repeats, options.before)
    if options.only in (None, "jpegs"):
        workload = jpegs(scratch, options.jpeg_count, options.photos)
        result["jpegs"] = compare(workload, scratch, TWO_ENCODERS, options.repeats, options.before)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
