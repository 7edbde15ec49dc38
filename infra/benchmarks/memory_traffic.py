"""What the global memory of AdaNeg costs: offers, bytes and the actor's CPU over the length of a scan.

Synthetic float16 embeddings (`synthetic.py`) against 1000 ID labels and 10 000 negatives, rows of ten (L), in streaming
order and batches of 256, so that workers offer batch by batch as a scan's do; and the snapshots are published. Offers
of a shard are the lines of its file of candidates; `predicted` is what as many images in random order would enter rows
of k = L - 1: Σ k (1 + H_n - H_k) over rows of n images, about k ln(n/k).

`publish` is measured in this process: an actor whose every row is full publishes all of it, and what one batch changes.

python -m infra.benchmarks.memory_traffic [--images 1000000] [--scratch DIR]
"""

import json
import shutil
import time
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from infra.benchmarks.rescore_speed import SIZES, data
from infra.benchmarks.workloads import SEED, machine, parser, say
from ood_core.memory import Candidates
from ood_core.memory.gap import Thresholds
from ood_core.methods import AdaNeg
from pipelines.memory.actor import Cursor, MemoryActor, MemorySpec
from pipelines.memory.files import MemoryFiles
from pipelines.storage import Directory

MEMORY_LENGTH, BATCH, MAX_STALENESS = 10, 256, 8
AT = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Of the scan."""


def scanned(options: Namespace, directory: Path) -> tuple[Path, dict[str, Any]]:
    """A rescoring in streaming order: where it is, and what it says of itself."""
    from pipelines.config.memory import Memory
    from pipelines.config.pools import ScorePool
    from pipelines.config.rescore import ReadEmbeddings, Rescore
    from pipelines.scans.rescore import rescore

    output = directory / "memory-traffic"
    config = Rescore(
        embeddings=(str(directory / "embeddings"),),
        labels=str(directory / "labels"),
        output=str(output),
        method=("adaneg", "neglabel"),  # in as many groups: the score that decides who joins
        param={"adaneg.memory_length": MEMORY_LENGTH, "adaneg.batch_size": BATCH, "neglabel.groups": AdaNeg().groups},
        order="streaming",
        memory=Memory(max_staleness=MAX_STALENESS),
        read=ReadEmbeddings(rows_per_shard=options.rows_per_shard),
        score=ScorePool(workers=options.workers),
    )
    start = time.perf_counter()
    summary = rescore(config, new_scan=True, say=say)
    return output, summary["last_run"] | {"wall_s": time.perf_counter() - start}


def predicted(rows: Counter[str], k: int) -> float:
    """How many of so many images a row would enter, all in random order."""
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, max(rows.values(), default=0) + 1))])
    return sum(n if n <= k else k * (1 + harmonic[n] - harmonic[k]) for n in rows.values())


def offers_by_shard(output: Path) -> list[dict[str, int]]:
    """In the order in which the shards were committed."""
    parts = sorted((output / "memory/candidates").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    scores = [pq.read_metadata(output / "scores" / part.name).num_rows for part in parts]
    return [
        {"images": images, "offers": pq.read_metadata(part).num_rows}
        for part, images in zip(parts, scores, strict=True)
    ]


def images_by_row(output: Path) -> Counter[str]:
    """How many images are sure enough to join each row, by its label."""
    table = pq.read_table(output / "scores", columns=["score_neglabel", "id_label", "negative_label"])
    score, sure = table["score_neglabel"].to_numpy(), Thresholds.fixed(AdaNeg().threshold, AdaNeg().gap)
    joins = table["id_label"].to_numpy(False)[score > sure.positive].tolist()
    return Counter(joins + table["negative_label"].to_numpy(False)[score < sure.negative].tolist())


def over_the_scan(shards: list[dict[str, int]]) -> list[dict[str, float]]:
    """Offers an image up to each part of the scan, and in the shard there."""
    images = np.cumsum([shard["images"] for shard in shards])
    offers = np.cumsum([shard["offers"] for shard in shards])
    places = [int(np.searchsorted(images, at * images[-1])) for at in AT]
    return [
        {
            "images": int(images[place]),
            "offers": int(offers[place]),
            "offers_per_image_in_this_shard": shards[place]["offers"] / shards[place]["images"],
        }
        for place in sorted(set(places))
    ]


def published(options: Namespace) -> dict[str, float]:
    """Seconds and bytes of a snapshot of full rows, of what a batch changes, and of one in storage."""
    rows, k = options.id_labels + options.negatives, MEMORY_LENGTH - 1
    rng, now = np.random.default_rng(SEED), [0.0]
    shutil.rmtree(options.scratch / "snapshots", ignore_errors=True)  # a new actor would know an earlier run's
    files = MemoryFiles(Directory(str(options.scratch / "snapshots")), "", options.dim)
    spec = MemorySpec("", files, {"adaneg": np.full(rows, k)}, 1, frozenset({"adaneg"}))
    actor = MemoryActor(spec, put=lambda content: content, clock=lambda: now[0])

    def offered(count: int, first: int, priorities: np.ndarray, where: np.ndarray) -> None:
        vectors = rng.normal(size=(count, options.dim)).astype(np.float32)
        keys = [f"{number:012d}" for number in range(first, first + count)]
        actor.offer({"adaneg": Candidates(where, priorities, keys, vectors)}, Cursor())
        now[0] += 60

    offered(rows * k, 0, rng.uniform(1, 2, rows * k), np.repeat(np.arange(rows), k))
    full, seen = _timed(lambda: actor.published(Cursor()))
    offered(BATCH, rows * k, rng.uniform(0, 1, BATCH), rng.choice(rows, BATCH, replace=False))
    delta, (_, (change, *_)) = _timed(lambda: actor.published(seen[0]))
    stored, snapshot = _timed(lambda: files.put_snapshot({"adaneg": actor.live["adaneg"].snapshot()}, ["all"]))
    size = (options.scratch / "snapshots/memory" / f"snapshot-{snapshot.version}.parquet").stat().st_size
    return {
        "full_s": full,
        "full_bytes": rows * k * options.dim * 4,
        "one_batch_s": delta,
        "one_batch_bytes": change.images * options.dim * 4,
        "snapshot_s": stored,
        "snapshot_bytes": size,
    }


def _timed(call: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def main() -> None:
    options_of = parser(__doc__)
    sizes = {**SIZES, "images": 1_000_000, "files": 20, "rows_per_shard": 10_000}
    for name, default in sizes.items():
        if name != "repeats":
            options_of.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    options = options_of.parse_args()
    result: dict[str, Any] = {"machine": machine(), "publish": published(options)}
    say(str(result["publish"]))
    directory = data(options, options.images // options.files)
    output, run = scanned(options, directory)
    shards, counts = offers_by_shard(output), run["memory"]["adaneg"]
    offers, forecast = sum(shard["offers"] for shard in shards), predicted(images_by_row(output), MEMORY_LENGTH - 1)
    busy_s = run["images"] / run["steady_images_per_s"]
    result |= {
        "images": run["images"],
        "images_per_s": run["steady_images_per_s"],
        "offers": offers,
        "predicted": forecast,
        "offers_to_predicted": offers / forecast,
        "offers_per_image": offers / run["images"],
        "over_the_scan": over_the_scan(shards),
        "entered_of_offered": counts["entered"] / counts["offered"],
        "calls_per_image": counts["calls"] / run["images"],
        "bytes_per_image": counts["bytes"] / run["images"],
        "published": counts["published"],
        "published_bytes_per_image": counts["published_bytes"] / run["images"],
        "actor_cpu_s": run["memory"]["actors_cpu_s"],
        "actor_cpu_of_one_core": run["memory"]["actors_cpu_s"] / busy_s,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
