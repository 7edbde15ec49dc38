"""AdaNeg's sample-adaptive score from Gram matrices (`AdaNegScorer`), against proxies made for each image.

The other side (`naive_adaneg.py`) is METHODS.md §7 as it is written: the weights of every row's places, the weighted
sums of every row as an array [images, labels, dim], their norms, then cosines. At 256 images each such array is of
5.8 GB, so it takes `--naive-batch` images at once: by default 64, where it was fastest of 1 to 256. Both score the same
images against the same memory, of which `--filled` of the rows hold images, as many as fit.

Each run is a process of its own, in turn. Peak extra memory is the kernel's high-water mark of the resident set, reset
(/proc/self/clear_refs) when label bank, memory and images are there, less the resident set then: what the scorer
keeps (`kept_mib`), and what one batch takes beside it. That of the naive side at `--batch` images is what it keeps, and
what its own batch takes in proportion to the images.

python -m infra.benchmarks.adaneg_speed [--proxies sample|task] [--batch 256] [--naive-batch 64] [--repeats 3]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infra.benchmarks.naive_adaneg import NaiveAdaNeg
from infra.benchmarks.synthetic import around, bank, images
from infra.benchmarks.workloads import SEED, machine, say
from ood_core.labels import LabelBank
from ood_core.memory import Candidates
from ood_core.methods import AdaNeg
from ood_core.scores import ImageScorer

SIDES = ("ours", "naive")
Score = Callable[[Tensor], np.ndarray]


def memory(rng: np.random.Generator, of: LabelBank, filled: float, per_row: int) -> Candidates:
    """Full rows of images around their labels."""
    rows = np.sort(rng.permutation(len(of.texts))[: round(filled * len(of.texts))]).repeat(per_row)
    keys = [f"remembered {number}" for number in range(len(rows))]
    return Candidates(rows, np.zeros(len(rows)), keys, around(rng, of.embeddings[rows]))


def ours(parameters: AdaNeg, of: LabelBank, learned: Candidates) -> Score:
    scorer = ImageScorer(of, {"adaneg": parameters}, learned={"adaneg": learned})
    return lambda batch: scorer(batch).scores["adaneg"]


def resident(name: str = "VmRSS") -> float:
    """MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) / 1024


@torch.inference_mode()
def measured(options: argparse.Namespace) -> dict[str, Any]:
    """One side in this process: memory in the first batch, then the rate over all, and the scores of the first."""
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(SEED)
    parameters = AdaNeg(memory_length=options.memory_length, proxies=options.proxies)
    labels = bank(rng, options.id_labels, options.negatives, options.dim)
    learned = memory(rng, labels, options.filled, parameters.memory_length - 1)
    is_ours = options.side == "ours"
    count, size = (options.images, options.batch) if is_ours else (options.naive_images, options.naive_batch)
    batches = torch.from_numpy(images(rng, labels, options.images))[:count].split(size)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = resident()
    score = (ours if is_ours else NaiveAdaNeg)(parameters, labels, learned)
    kept = resident() - before
    score(batches[0])
    peak = resident("VmHWM") - before
    start = time.perf_counter()
    scores = [score(batch) for batch in batches]
    rate = count / (time.perf_counter() - start)
    compared = np.concatenate(scores)[: options.naive_images].tolist()
    return {"images_per_s": rate, "batch": size, "kept_mib": kept, "peak_mib": peak, "scores": compared}


def compare(arguments: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """`--repeats` processes of each side, in turn."""
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for number in range(options.repeats):
        for side in SIDES:
            command = [sys.executable, "-m", "infra.benchmarks.adaneg_speed", *arguments, "--side", side]
            runs[side].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        say(f"{number + 1} of {options.repeats}: {[runs[side][-1]['images_per_s'] for side in SIDES]} images/s")
    scores = [np.array(runs[side][0]["scores"]) for side in SIDES]
    ratios = [mine["images_per_s"] / other["images_per_s"] for mine, other in zip(*runs.values(), strict=True)]
    found: dict[str, Any] = {
        side: {name: statistics.median(run[name] for run in of_side) for name in of_side[0] if name != "scores"}
        for side, of_side in runs.items()
    }
    of_naive = found["naive"]
    a_batch = (of_naive["peak_mib"] - of_naive["kept_mib"]) * options.batch / of_naive["batch"]
    of_naive["peak_mib_extrapolated_to_batch"] = of_naive["kept_mib"] + a_batch
    ratio = {"ratio": statistics.median(ratios), "ratios": ratios}
    return (
        found | ratio | {"compared": len(scores[1]), "largest_difference": float(np.abs(scores[0] - scores[1]).max())}
    )


def main() -> None:
    options_of = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options_of.add_argument("--proxies", choices=("sample", "task"), default="sample")
    options_of.add_argument("--id-labels", type=int, default=1000)
    options_of.add_argument("--negatives", type=int, default=10_000)
    options_of.add_argument("--dim", type=int, default=512)
    options_of.add_argument("--memory-length", type=int, default=10, help="places of a row, its text's among them")
    options_of.add_argument("--filled", type=float, default=0.05, help="fraction of the rows that hold images")
    options_of.add_argument("--images", type=int, default=2048, help="scored by our side")
    options_of.add_argument("--naive-images", type=int, default=192, help="of these, scored by the other")
    options_of.add_argument("--batch", type=int, default=256)
    options_of.add_argument("--naive-batch", type=int, default=64)
    options_of.add_argument("--threads", type=int, default=2)
    options_of.add_argument("--repeats", type=int, default=3)
    options_of.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = options_of.parse_args()
    if options.side:
        print(json.dumps(measured(options)))
        return
    sizes = {name: value for name, value in vars(options).items() if name != "side"}
    print(json.dumps({"machine": machine(), "sizes": sizes, **compare(sys.argv[1:], options)}, indent=2))


if __name__ == "__main__":
    main()
