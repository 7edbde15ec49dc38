"""Which stage would limit a scan on a node of GPUs, and on many such nodes? On paper, from what is measured here.

Measured: decoding a photo on a core; all else that an encoder does to an image on its CPU, with decoding and the model
left out; bytes of a photo and of a row; the driver's CPU an image (`driver_cost`), Ray's own included. Assumed, as
options: what a GPU encodes, the cores, the network and the storage.

python -m infra.benchmarks.scale [--gpus 8] [--nodes 64] [--gpu-images-s 7500] [--page infra/benchmarks/SCALE.md]
"""

import json
import shlex
import shutil
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infra.benchmarks import synthetic
from infra.benchmarks.decode_speed import PHOTO, compared, opened
from infra.benchmarks.driver_cost import an_image
from infra.benchmarks.make_data import drawings, photo_files
from infra.benchmarks.memory_page import markdown, text
from infra.benchmarks.workloads import machine, parser, say
from ood_core.decoding import Decoder
from ood_core.methods import NegLabel
from pipelines.config.scan import Read
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.readers.record import Record
from pipelines.runtime.cluster import cluster
from pipelines.runtime.model import ModelFacts, ModelSpec, describe
from pipelines.scan_directory.commit import Committer
from pipelines.scans.workers.decode import Decoded
from pipelines.scans.workers.encode import Encoded, ScoreSpec
from pipelines.scans.workers.encode_shards import Block, EncodeShards, EncodeSpec
from pipelines.scans.workers.open_shard import OpenShard
from pipelines.storage import Directory

SIZE, BLOCK, COUNT, DIM = 224, 256, 5000, 128

PROSE = """
## How to read it
Each line is the rate at which a stage alone would limit the scan, all others being fast enough; the scan comes to the
least of its column. Decoding shares a node's cores with all else that encoders do.

*All else in an encoder* is reading a tar, queues, blocks, scoring twenty labels, the score table and its file, for each
image, in shards of 1000, by the clock; in one process, whose threads take turns where they run Python. One encoder
a GPU cannot be faster: beyond that, give a GPU two of them (`--encode-gpus 0.5`).

## Limits
Nothing here was measured on a GPU. Many cores are taken to do as many times what one does. On GPUs scores are a product
of the GPU's own, small beside the model. What workers take for
consensus, the memory's actors (`MEMORY_SCALE.md`) and start-up are left out.
Storage is taken to serve what the network carries.
"""


class Plumbing(EncodeShards):
    """An encoder whose pictures cost nothing to decode or to encode."""

    def _decode(self, record: Record) -> tuple[Decoded, float]:  # noqa: ARG002
        return Decoded("ok", None, SIZE, SIZE, NOTHING), 0.0

    def _encoded_block(self, shards: list[OpenShard], keys: list[str]) -> Block:
        return Block(Encoded(torch.nn.functional.normalize(torch.randn(len(keys), DIM), dim=1), None), shards, keys)


NOTHING = np.zeros((64, 64, 3), np.uint8)


def plumbing(tars: Sequence[Path], place: Path) -> dict[str, float]:
    """CPU microseconds an image of an encoder without decoding and the model, and bytes of a row of its score table."""
    shutil.rmtree(place, ignore_errors=True)
    model, bank = ModelSpec("bundled", block=BLOCK), synthetic.bank(np.random.default_rng(0), 10, 10, DIM)
    facts = describe(model)
    if not isinstance(facts, ModelFacts):
        raise TypeError(facts)
    spec = EncodeSpec(Read(), {}, Decoder(facts.preprocessing), model, ScoreSpec(bank, {"neglabel": NegLabel()}))
    shards = plan_images([str(tar) for tar in tars], Read(), {}).shards
    worker = Plumbing(spec, Committer(Directory(str(place)), "f"))
    worker.commit(shards[:1])
    start, wall = time.process_time(), time.perf_counter()
    receipts = worker.commit(shards[1:])
    images = sum(receipt["records"] for receipt in receipts)
    cpu, wall = time.process_time() - start, time.perf_counter() - wall
    size = sum(receipt["size"] for receipt in receipts) / images
    return {"cpu_us": cpu / images * 1e6, "wall_us": wall / images * 1e6, "bytes_a_row": size}


def measured(scratch: Path) -> dict[str, float]:
    """The constants."""
    usual = [content for path in photo_files() if opened(content := path.read_bytes()).size == PHOTO]
    say("decoding")
    decode = compared(usual, SIZE, 3)["fast_images_per_s"]
    say("all else in an encoder")
    other = plumbing(drawings(scratch / f"drawings-{COUNT}", COUNT), scratch / "plumbing")
    say("the driver")
    with cluster():
        driver = an_image(10_000, scratch / "driver-cost")["cpu_us_an_image"]
    return {
        "decode_images_s_core": decode,
        "other_cpu_us": other["cpu_us"],
        "other_wall_us": other["wall_us"],
        "bytes_a_photo": statistics.mean(map(len, usual)),
        "bytes_a_row": other["bytes_a_row"],
        "driver_us": driver["neglabel"],
        "driver_learned_us": driver["adaneg_and_consensus"],
    }


def ceilings(of: Mapping[str, float], given: Any, nodes: int) -> dict[str, float]:
    """Images/s that each stage alone would allow on so many nodes; the driver is one however many there are."""
    gpus = nodes * given.gpus
    # x images/s take x * other_cpu_us of the cores for all else, and x / decode of them for decoding.
    a_core = 1 / (of["other_cpu_us"] * 1e-6 + 1 / of["decode_images_s_core"])
    return {
        "the model on GPUs": gpus * given.gpu_images_s,
        "decoding, on the cores that all else leaves": nodes * given.cores * a_core,
        "all else in an encoder, one a GPU": gpus * 1e6 / of["other_wall_us"],
        "reading, by the network": nodes * given.network_gb_s * 1e9 / of["bytes_a_photo"],
        "writing, by the network": nodes * given.network_gb_s * 1e9 / of["bytes_a_row"],
        "the driver, NegLabel": 1e6 / of["driver_us"],
        "the driver, AdaNeg and consensus": 1e6 / of["driver_learned_us"],
    }


def page(of: Mapping[str, float], given: Any, on: Mapping[str, Any]) -> str:
    """The page: what follows, the ceilings, the constants."""
    columns = {f"{nodes} x {given.gpus} GPUs": nodes for nodes in (1, given.nodes)}
    found = {name: ceilings(of, given, nodes) for name, nodes in columns.items()}
    least = {name: min(stages, key=lambda stage: stages[stage]) for name, stages in found.items()}
    said = [f"- **{name}: {found[name][stage]:,.0f} images/s, limited by {stage}.**" for name, stage in least.items()]
    fed = given.gpu_images_s * (1 / of["decode_images_s_core"] + of["other_cpu_us"] * 1e-6)
    said.append(f"- A GPU that encodes {given.gpu_images_s:,.0f} images/s keeps {fed:.1f} cores like these busy.")
    rows = [{"": stage, **{name: found[name][stage] for name in columns}} for stage in next(iter(found.values()))]
    assumed = {name: getattr(given, name) for name in ("gpus", "nodes", "gpu_images_s", "cores", "network_gb_s")}
    parts = [
        "# Which stage limits a scan on GPUs?",
        f"```\npython -m infra.benchmarks.scale {shlex.join(sys.argv[1:])}\n```",
        "; ".join(f"{name} {text(value)}" for name, value in [*assumed.items(), *on.items()]),
        "\n".join(said),
        f"## Images/s of each stage\n{markdown(rows)}",
        PROSE.strip(),
        f"## Constants\n{markdown([{'': name, 'measured': value} for name, value in of.items()])}",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--gpus", type=int, default=8, help="of a node")
    options_of.add_argument("--nodes", type=int, default=64)
    options_of.add_argument("--gpu-images-s", type=float, default=7500, help="what the model encodes on one GPU")
    options_of.add_argument("--cores", type=int, default=128, help="of a node")
    options_of.add_argument("--network-gb-s", type=float, default=12.5, help="GB/s that a node reads and writes")
    options_of.add_argument("--page", type=Path, help="a page to write")
    given = options_of.parse_args()
    torch.set_num_threads(1)
    on, of = machine(), measured(given.scratch)
    stages = {nodes: ceilings(of, given, nodes) for nodes in (1, given.nodes)}
    print(json.dumps({"machine": on, "constants": of, "images_per_s": stages}, indent=2))
    if given.page:
        given.page.write_text(page(of, given, on), encoding="utf-8")


if __name__ == "__main__":
    main()
