"""What a scan costs its driver, whatever workers do: CPU time an image; time and memory of a million shards.

The workers' part is left out: they give the receipts of shards of 1000 images and write nothing. All else is the scan's
own: ranges, Ray Data, receipts, tally, manifest, and consensus' sums of each round.

python -m infra.benchmarks.driver_cost [--shards 10000] [--million 1000000] [--scratch DIR]
"""

import json
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

from infra.benchmarks.workloads import machine, parser, say
from ood_core.consensus.agreement import Sums
from pipelines.config.pools import ScorePool
from pipelines.consensus.tables import sums_of, sums_table
from pipelines.inputs.plan import Plan, Shard, blocks_of, read_plan, shard_id
from pipelines.runtime.cells import as_cell, from_cells
from pipelines.runtime.cluster import cluster
from pipelines.runtime.progress import quiet
from pipelines.runtime.spread import over_actors, over_tasks, ranges
from pipelines.scan_directory.identity import Fingerprints
from pipelines.scan_directory.known import known_shards
from pipelines.scan_directory.layout import CANDIDATES, ENCODED, SCORED, SCORES, VOTES, shard_name
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.receipts import receipt_of, receipts_table
from pipelines.scan_directory.run import Run
from pipelines.scan_directory.summary import Clock, Tally
from pipelines.storage import Directory, Entry

ROWS, ANCHORS, WORKERS = 1000, 65_536, 2
STATIC, LEARNED = ("score_neglabel",), ("score_adaneg", "score_consensus", "consensus_weight")


class Receipts:
    """A worker that does nothing but give the receipts of its shards; what these tell is of random scores."""

    def __init__(self, folder: str, columns: tuple[str, ...], rows: int = ROWS) -> None:
        scores = {name: np.random.default_rng(0).random(rows) for name in columns}
        table = pa.table({"key": [str(row) for row in range(rows)], "status": ["ok"] * rows, **scores})
        times = {"ready": time.time(), "score_s": 1e-3}
        self.receipt = receipt_of("", table, b"", times, final=folder == SCORES)

    def __call__(self, shards: pa.Table) -> Iterator[pa.Table]:
        yield receipts_table(self.receipt | {"shard": shard} for shard in shards["id"].to_pylist())


def planned(count: int) -> Plan:
    """A plan of tars that nobody looks for."""
    names = (f"s3://bucket/dataset/shard-{number:07d}.tar" for number in range(count))
    return Plan(
        [Shard(shard_id(name.rpartition("/")[2], name), "tar", (name,), (), (10**8,), name[-16:]) for name in names],
        {},
    )


def run_in(place: Path, shards: list[Shard]) -> Run:
    shutil.rmtree(place, ignore_errors=True)
    output = Directory(str(place))
    return Run(output, Fingerprints.one("f"), shards, Tally(), Clock(time.time(), {}), quiet, Manifest(output, "f"))


def step(run: Run, folder: str, columns: tuple[str, ...], rows: int = ROWS) -> None:
    pool, tables = ScorePool(workers=WORKERS, cpus=0.5), blocks_of(ranges(run.shards, WORKERS))
    run.receive(folder, run.shards, over_actors(pool, tables, Receipts, (folder, columns, rows)), run.clock.add)
    run.tally.choices()


def sums(_groups: pa.Table) -> Iterator[pa.Table]:
    """The sums of a round over a group of shards, as large as real ones are."""
    values = np.random.default_rng(0).integers(2**40, size=(2, ANCHORS))
    yield as_cell(sums_table(Sums({"count": 1}, 0.0, values)))


def rounds(run: Run, count: int = 7) -> None:
    ids = [shard.id for shard in run.shards]
    size = -(-len(ids) // (4 * WORKERS))
    groups = [pa.table({"id": ids[start : start + size]}) for start in range(0, len(ids), size)]
    for _ in range(count):
        tables = over_tasks(ScorePool(workers=WORKERS, cpus=0.5), groups, sums)
        reduce(add, (sums_of(table) for cells in tables for table in from_cells(cells)))


def cpu_of(work: Callable[[], Any]) -> dict[str, float]:
    """Seconds of CPU of this process, and of Ray's own on the head node, that some work takes."""
    names = ("raylet", "gcs_server")
    others = [process for process in psutil.Process().children(recursive=True) if process.name() in names]
    before = [sum(process.cpu_times()[:2]) for process in others]
    start, wall = time.process_time(), time.perf_counter()
    work()
    ray_s = sum(sum(process.cpu_times()[:2]) - then for process, then in zip(others, before, strict=True))
    return {"driver_s": time.process_time() - start, "ray_s": ray_s, "wall_s": time.perf_counter() - wall}


def an_image(shards: int, place: Path) -> dict[str, Any]:
    """CPU microseconds an image of a scan by NegLabel, and of one by AdaNeg and consensus."""
    images = shards * ROWS

    def neglabel() -> None:
        step(run_in(place, planned(shards).shards), SCORES, STATIC)

    def learned() -> None:
        run = run_in(place, planned(shards).shards)
        step(run, ENCODED, STATIC)
        step(run, CANDIDATES, ())
        step(run, SCORED, STATIC)
        step(run, VOTES, ())
        rounds(run)
        step(run, SCORES, (*STATIC, *LEARNED))

    found = {"neglabel": cpu_of(neglabel), "adaneg_and_consensus": cpu_of(learned)}
    each = {name: (cost["driver_s"] + cost["ray_s"]) / images * 1e6 for name, cost in found.items()}
    return {"images": images, "cpu_us_an_image": each, **found}


class ManyFiles(Directory):
    """A directory in which the listing says that every planned shard has a score table, which nobody reads."""

    def entries(self, folder: str = "") -> dict[str, Entry]:
        found = super().entries(folder)
        return dict.fromkeys(map(shard_name, vars(self)["ids"]), Entry(0, 0.0)) if folder == SCORES else found


def many(shards: int, place: Path) -> dict[str, Any]:
    """Seconds that so many shards take to be planned, handed out, and found finished; and the driver's peak memory."""
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        found = work()
        seconds[name] = time.perf_counter() - start
        say(f"{name}: {seconds[name]:.1f} s")
        return found

    plan = timed("plan_s", lambda: planned(shards))
    content = timed("plan_written_s", plan.to_parquet)
    timed("plan_fingerprint_s", lambda: plan.fingerprint)
    run = run_in(place, plan.shards)
    timed("handed_out_s", lambda: step(run, SCORES, STATIC, rows=10))
    timed("manifest_written_s", lambda: run.manifest.replace(run.tally))

    def rerun() -> None:
        output = ManyFiles(str(place))
        vars(output)["ids"] = [shard.id for shard in read_plan(content)]
        tally = known_shards(output, Fingerprints.one("f"), vars(output)["ids"]).tally
        if len(tally.shards()) != shards:
            raise RuntimeError(f"{len(tally.shards())} of {shards} shards are known")
        tally.described()

    timed("rerun_s", rerun)
    return {"shards": shards, **seconds, "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument(
        "--shards", type=int, default=10000, help="shards of 1000 images, for the CPU time an image"
    )
    options_of.add_argument("--million", type=int, default=1_000_000, help="shards to plan, hand out and find finished")
    options = options_of.parse_args()
    place = options.scratch / "driver-cost"
    with cluster():
        result: dict[str, Any] = {"machine": machine(), "an_image": an_image(options.shards, place)}
        result["many_shards"] = many(options.million, place)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
