"""What TANL costs beside NegLabel, over the whole corpus: seconds of each step, and peak memory.

`oodscan labels build --criterion none` with the bundled model and all of WordNet's words in NegLabel's files, and
`oodscan rescore` of the bundled drawings' embeddings, repeated with a little noise. NegLabel is scored against the same
bank, so against the whole corpus too, which nobody would do otherwise: it shows what looking at all words once takes.

python -m infra.benchmarks.tanl_cost [--images 20000] [--scratch DIR]
"""

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.benchmarks.mixed_drawings import Drawings
from infra.benchmarks.peak_memory import peak
from infra.benchmarks.workloads import DEMO_LABELS, OODSCAN, SEED, machine, parser, say

SPREAD = 0.05
"""Of the noise, as a share of a unit vector's length."""
METHODS = ("neglabel", "tanl")


def made(options: argparse.Namespace) -> Path:
    """The bank in `labels` and the embeddings, kept in the scratch folder for another run."""
    directory = options.scratch / f"tanl-{options.images}"
    if not (directory / "images.parquet").exists():
        command = [OODSCAN, "labels", "build", "--id-labels", DEMO_LABELS, "--output", directory / "labels"]
        subprocess.run([*command, "--criterion", "none", "--model", "bundled"], check=True)
        known = Drawings.read().embeddings.numpy()
        rng = np.random.default_rng(SEED)
        drawn = known[rng.integers(len(known), size=options.images)]
        drawn = drawn + SPREAD / drawn.shape[1] ** 0.5 * rng.standard_normal(drawn.shape, np.float32)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        cells = pa.FixedSizeListArray.from_arrays(pa.array(drawn.reshape(-1)), drawn.shape[1])
        keys = [f"{row:08d}" for row in range(options.images)]
        pq.write_table(pa.table({"key": keys, "embedding": cells}), directory / "images.parquet")
    return directory


def rescored(options: argparse.Namespace, directory: Path, method: str) -> dict[str, Any]:
    """One rescoring in a process of its own: its peak memory, its steps' seconds, and what it has found."""
    output = directory / "output"
    command = [
        OODSCAN, "rescore", "--embeddings", directory / "images.parquet", "--labels", directory / "labels", "--output",
        output, "--new-scan", "--rows-per-shard", "2000", "--score-workers", str(options.workers), "--method", method,
    ]  # fmt: skip
    memory = peak(command)
    summary = json.loads((output / "summary.json").read_text())
    if summary["statuses"] != {"ok": options.images}:
        raise RuntimeError(f"rows went wrong: {summary['statuses']}")
    return {**memory, "steps_s": summary["last_run"]["steps_s"], "learned": summary.get("learned", {})}


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--images", type=int, default=20_000, help="default 20 000")
    options_of.add_argument("--workers", type=int, default=2, help="default 2")
    options = options_of.parse_args()
    directory = made(options)
    counts = json.loads((directory / "labels/bank.json").read_text())["counts"]
    runs = {method: rescored(options, directory, method) for method in METHODS}
    for method, run in runs.items():
        say(f"{method}: {run['peak_mib']:.0f} MiB, {run['steps_s']}")
    seconds = {method: sum(run["steps_s"].values()) for method, run in runs.items()}
    say(f"tanl : neglabel = {seconds['tanl'] / seconds['neglabel']:.2f}")
    print(json.dumps({"machine": machine(), "counts": counts, "runs": runs}, indent=2))


if __name__ == "__main__":
    main()
