"""What consensus costs: the time of each of its steps, and peak memory, beside those of the base scores.

`oodscan rescore` of synthetic float16 embeddings (`synthetic.py`) by NegLabel, by NegLabel and consensus, and with a
reference of some others or verdicts on some too; start-up, reading and writing are in all. From the run with neither
follows, on paper, what `--paper-images` images take on so many workers of one thread like these: all steps grow with
the number of images, votes with that of the anchors that an image is compared with besides, and the fit of the anchors
with the latter alone, for its sample is bounded.

python -m infra.benchmarks.consensus_cost [--images 1000000] [--scratch DIR] [--only-reference | --only-verdicts]
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.benchmarks.peak_memory import peak
from infra.benchmarks.rescore_speed import data
from infra.benchmarks.synthetic import images, kinds_of
from infra.benchmarks.workloads import OODSCAN, SEED, machine, parser, say
from ood_core.consensus.agreement import Agreement
from ood_core.consensus.anchors import ITERATIONS, MANY_ANCHORS, MOST_IMAGES, anchor_count
from ood_core.consensus.cells import CANDIDATES, cell_count
from ood_core.consensus.many_anchors import iterations
from ood_core.consensus.voting import ALL_COMPARED
from ood_core.labels import LabelBank
from ood_core.methods import Consensus
from ood_core.vectors import vectors_of
from pipelines.consensus.files import ConsensusFiles
from pipelines.scan_directory.layout import VOTES
from pipelines.storage import Directory

SIZES = {
    "images": 1_000_000,
    "files": 20,
    "rows_per_shard": 50_000,
    "id_labels": 1000,
    "negatives": 10_000,
    "kinds": 0,
    "dim": 512,
    "workers": 2,
    "references": 10_000,
    "verdicts": 50,
    "paper_images": 10**9,
    "paper_workers": 100,
    "paper_rows_per_shard": 10_000,
}
RECALLED = 2048
"""Images whose nearest anchors are compared with the exact ones."""


RUNS = {
    "neglabel": ("neglabel",),
    "neglabel, consensus": ("neglabel", "consensus"),
    "neglabel, consensus, a reference": ("neglabel", "consensus"),
    "neglabel, reference, consensus, a reference": ("neglabel", "reference", "consensus"),
    "neglabel, consensus, verdicts": ("neglabel", "consensus"),
}
"""The methods of each run; those with a reference or verdicts say so."""


def write_others(options: argparse.Namespace, directory: Path, count: int) -> Path:
    """A table of embeddings that are like the others: a reference, or verdicts by lot."""
    path = directory / f"others-{count}.parquet"
    if not path.exists():
        rng, labels = np.random.default_rng([SEED, count]), LabelBank.load(directory / "labels")
        drawn = kinds_of(rng, labels, options.kinds, count) if options.kinds else images(rng, labels, count)
        cells = pa.FixedSizeListArray.from_arrays(pa.array(drawn.astype(np.float16).reshape(-1)), options.dim)
        belongs = rng.integers(2, size=count).astype(float)
        keys = [f"known {row}" for row in range(count)]
        pq.write_table(pa.table({"key": keys, "belongs": belongs, "embedding": cells}), path)
    return path


def rescored(options: argparse.Namespace, directory: Path, name: str) -> dict[str, Any]:
    """One of `RUNS` in a process of its own: its peak memory, and what it says of itself."""
    output = directory / "output"
    asked = [argument for method in RUNS[name] for argument in ("--method", method)]
    if name.endswith("a reference"):
        asked += ["--reference", str(write_others(options, directory, options.references))]
    if name.endswith("verdicts"):
        asked += ["--verdicts", str(write_others(options, directory, options.verdicts))]
    command = [
        OODSCAN, "rescore", "--embeddings", directory / "embeddings", "--labels", directory / "labels", "--output",
        output, "--new-scan", "--rows-per-shard", str(options.rows_per_shard), "--score-workers", str(options.workers),
        *asked,
    ]  # fmt: skip
    memory = peak(command)
    summary = json.loads((output / "summary.json").read_text())
    if summary["statuses"] != {"ok": summary["records"]}:
        raise RuntimeError(f"rows went wrong: {summary['statuses']}")
    votes = sum(file.stat().st_size for file in (output / VOTES).glob("*.parquet"))
    return {**memory, "last_run": summary["last_run"], "learned": summary.get("learned"), "votes_bytes": votes}


def consensus_s(run: dict[str, Any]) -> float:
    """Seconds of the consensus step; what the base scores take varies more than what a reference adds."""
    return run["last_run"]["steps_s"]["consensus"]


def recall(directory: Path) -> float:
    """The share of the exact nearest anchors that votes are for, of the first images."""
    files = ConsensusFiles(Directory(str(directory / "output")), "")
    anchors = files.anchors()
    (first, *_) = sorted((directory / "output" / VOTES).glob("*.parquet"))
    votes = pq.read_table(first).slice(0, RECALLED)
    embeddings = pq.read_table(sorted((directory / "embeddings").glob("*.parquet"))[0]).slice(0, RECALLED)
    if anchors is None:
        raise RuntimeError("the scan has left no anchors")
    found, vectors = vectors_of(votes["anchors"]), vectors_of(embeddings["embedding"]).astype(np.float32)
    exact = np.argsort(-(vectors @ anchors.T), axis=1, kind="stable")[:, : found.shape[1]]
    return float(np.mean([np.isin(row, other).mean() for row, other in zip(exact, found, strict=True)]))


def compared(anchors: int, most: int) -> int:
    """How many vectors an image is compared with, to find the nearest anchors. `most`: that are not put in cells."""
    return anchors if anchors <= most else cell_count(anchors) + CANDIDATES


def fit_products(anchors: int) -> int:
    """How many cosines the fit of the anchors to a full sample takes."""
    rounds = ITERATIONS if anchors <= MANY_ANCHORS else iterations(MOST_IMAGES, anchors)
    return MOST_IMAGES * compared(anchors, MANY_ANCHORS) * rounds


def on_paper(options: argparse.Namespace, run: dict[str, Any]) -> dict[str, Any]:
    """The same for many images: nothing but the sample and the sums goes through one process."""
    chosen, found = Consensus(), run["learned"]["consensus"]
    images, workers = options.paper_images, options.paper_workers
    anchors, steps = anchor_count(images, chosen), Agreement(chosen, 0).steps
    took = run["last_run"]["consensus"]
    per_image = {name: seconds * options.workers / options.images for name, seconds in took.items()}
    votes_bytes = run["votes_bytes"] / options.images
    of_all, of_found = (compared(count, ALL_COMPARED) for count in (anchors, found["anchors"]))
    groups = 4 * workers
    sums = 8 * anchors
    return {
        "anchors": anchors,
        "sample": {"bytes": MOST_IMAGES * options.dim * 4, "fit_products": fit_products(anchors)},
        "votes_s": per_image["votes_s"] * of_all / of_found * images / workers,
        "votes_bytes": votes_bytes * images,
        "passes_over_votes": steps + 1,
        "rounds_s": per_image["rounds_s"] * images / workers,
        "read_a_worker_bytes": (steps + 1) * votes_bytes * images / workers,
        "sums_bytes_a_step": {"of_one_group": 2 * sums, "of_all_groups": 2 * sums * groups},
        "state_a_worker_bytes": sums * (1 + 2 + 2 + chosen.rounds - 1),
        "scores_s": per_image["scores_s"] * images / workers,
    }


def main() -> None:
    options_of = parser(__doc__)
    for name, size in SIZES.items():
        options_of.add_argument(f"--{name.replace('_', '-')}", type=int, default=size, help=f"default {size}")
    options_of.add_argument("--only-reference", action="store_true", help="consensus without a reference and with one")
    options_of.add_argument("--only-verdicts", action="store_true", help="consensus without verdicts and with some")
    options = options_of.parse_args()
    names = list(RUNS)
    if options.only_reference or options.only_verdicts:
        names = [names[1], names[2] if options.only_reference else names[-1]]
    directory, host, runs = data(options, -(-options.images // options.files)), machine(), {}
    for name in names:
        runs[name] = found = rescored(options, directory, name)
        say(f"{name}: {found['peak_mib']:.0f} MiB, {found['last_run']}")
    alone = consensus_s(runs["neglabel, consensus"])
    for name in names[names.index("neglabel, consensus") + 1 :]:
        more, base = consensus_s(runs[name]) - alone, runs[name]["last_run"]["steps_s"]["encode"]
        say(
            f"{name}: {more / alone:+.1%} of the seconds of consensus alone, {more / base:+.1%} of those of base scores"
        )
    sizes = {name: value for name, value in vars(options).items() if name != "scratch"}
    found_share = recall(directory)
    say(f"recall {found_share:.3f}")
    paper = on_paper(options, runs["neglabel, consensus"])
    result = {"machine": host, "sizes": sizes, "runs": runs, "recall": found_share, "on_paper": paper}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
