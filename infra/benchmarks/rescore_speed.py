"""Images/s of `oodscan rescore` by NegLabel and AdaNeg (task, transductive), from Parquet to Parquet.

Synthetic float16 embeddings (`synthetic.py`) in 8 files against a bank of 11 000 labels. AdaNeg learns from all images
before any is scored: two passes, each with a pool of `--workers` actors of one thread, each with a product with the
labels.

Start-up is what the same rescoring takes with `LEAST` images a file, in the same Ray session, right before: planning,
both pools of workers, which import torch and take in the bank, the first shards' files. `images_per_s` leaves it out,
`images_per_s_with_start_up` does not; Ray's own start is in neither. `steady_images_per_s` is what `summary.json`
says: images by the time from the first scorer being ready on.

The bare product (`bare_product.py`): as many processes of one thread, in turn with the rescoring, multiply float32
blocks [64, dim] with the labels for as many images, and do nothing else; one product an image. The rescoring needs two.

python -m infra.benchmarks.rescore_speed [--images 200000] [--repeats 3] [--scratch DIR]
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.benchmarks.bare_product import bare_product
from infra.benchmarks.synthetic import bank, images, kinds_of
from infra.benchmarks.workloads import SEED, machine, parser, say
from ood_core.numerics import BLOCK

METHODS = ("neglabel", "adaneg")
SIZES = {
    "images": 200_000,
    "files": 8,
    "rows_per_shard": 12_500,
    "id_labels": 1000,
    "negatives": 10_000,
    "dim": 512,
    "workers": 2,
    "repeats": 3,
}
LEAST = BLOCK
"""Images a file where only start-up is measured: one block."""


def data(options: argparse.Namespace, per_file: int) -> Path:
    """The bank in `labels` and so many embeddings a file, kept in the scratch folder for another run."""
    kinds = getattr(options, "kinds", 0)
    sizes = (options.id_labels, options.negatives, options.dim, options.files, per_file, *([kinds] if kinds else []))
    directory = options.scratch / "-".join(map(str, ("rescore", *sizes)))
    if (directory / "complete").exists():
        return directory
    say(f"embeddings: {directory}")
    rng = np.random.default_rng(SEED)
    labels = bank(rng, options.id_labels, options.negatives, options.dim)
    labels.save(directory / "labels")
    (directory / "embeddings").mkdir(exist_ok=True)
    for number in range(options.files):
        drawn = kinds_of(rng, labels, kinds, per_file) if kinds else images(rng, labels, per_file)
        values = pa.array(drawn.astype(np.float16).reshape(-1))
        keys = [f"{number:03d}/{row:08d}.jpg" for row in range(per_file)]
        table = pa.table({"key": keys, "embedding": pa.FixedSizeListArray.from_arrays(values, options.dim)})
        pq.write_table(table, directory / "embeddings" / f"{number:03d}.parquet")
    (directory / "complete").touch()
    return directory


def rescored(options: argparse.Namespace, directory: Path, rows_per_shard: int) -> dict[str, Any]:
    """One rescoring in a Ray session that is there: its wall clock, and what it says of itself."""
    from pipelines.config.pools import ScorePool
    from pipelines.config.rescore import ReadEmbeddings, Rescore
    from pipelines.scans.rescore import rescore

    config = Rescore(
        embeddings=(str(directory / "embeddings"),),
        labels=str(directory / "labels"),
        output=str(directory / "output"),
        method=METHODS,
        read=ReadEmbeddings(rows_per_shard=rows_per_shard),
        score=ScorePool(workers=options.workers),
    )
    start = time.perf_counter()
    summary = rescore(config, new_scan=True)
    wall_s = time.perf_counter() - start
    if summary["statuses"] != {"ok": summary["records"]}:
        raise RuntimeError(f"rows went wrong: {summary['statuses']}")
    return summary["last_run"] | {"wall_s": wall_s}


def one_repeat(options: argparse.Namespace, least: Path, whole: Path) -> dict[str, Any]:
    start_up_s = rescored(options, least, LEAST)["wall_s"]
    run = rescored(options, whole, options.rows_per_shard)
    product = bare_product(options.images, options.dim, options.id_labels + options.negatives, options.workers)
    rate = (run["images"] - options.files * LEAST) / (run["wall_s"] - start_up_s)
    return {
        "start_up_s": start_up_s,
        "wall_s": run["wall_s"],
        "images_per_s": rate,
        "images_per_s_with_start_up": run["images"] / run["wall_s"],
        "steady_images_per_s": run["steady_images_per_s"],
        "busy_s": {name: stage["busy_s"] for name, stage in run["stages"].items()},
        "product_images_per_s": product,
        "ratio_to_one_product": rate / product,
        "ratio_to_two_products": 2 * rate / product,
    }


def main() -> None:
    options_of = parser(__doc__)
    for name, size in SIZES.items():
        options_of.add_argument(f"--{name.replace('_', '-')}", type=int, default=size, help=f"default {size}")
    options = options_of.parse_args()
    from pipelines.runtime.cluster import cluster

    least, whole = data(options, LEAST), data(options, -(-options.images // options.files))
    host, start, runs = machine(), time.perf_counter(), []
    with cluster():
        ray_start_s = time.perf_counter() - start
        for number in range(options.repeats):
            runs.append(one_repeat(options, least, whole))
            say(f"{number + 1} of {options.repeats}: {runs[-1]}")
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0] if name != "busy_s"}
    sizes = {"sizes": {name: value for name, value in vars(options).items() if name != "scratch"}}
    print(
        json.dumps({"machine": host, **sizes, "ray_start_s": ray_start_s, "medians": medians, "runs": runs}, indent=2)
    )


if __name__ == "__main__":
    main()
