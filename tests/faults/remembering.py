"""A scan whose memory fills, and whose images then find a consensus, small enough to be made many times over; and what
is needed to disturb it."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from ray.cluster_utils import Cluster

from pipelines.config.model import Model
from pipelines.config.pools import EncodePool
from pipelines.config.scan import Read, Scan
from pipelines.scan_directory.layout import THRESHOLDS_KEY, table_bytes
from pipelines.scans.scan import scan

METHODS = ("neglabel", "adaneg", "interneg", "reference", "consensus")
PARAMETERS = {
    "neglabel.groups": 5,
    "adaneg.gap": 0,
    "adaneg.memory_length": 3,
    "interneg.invert_below": 0.6,
    "interneg.max_inversions": 20,
    "interneg.extra_negatives": 10,
    "interneg.steps": 3,
    "consensus.base": "adaneg",
}
REFERENCE = "shard-0.tar"
"""Of the dataset, which is its own reference in part."""
SHARDS = 52
"""Two tars and the rows of a table first, then an image each.

With `SLOWLY`, the encode step takes a while from shard to shard.
"""
BLOCK = 64
LOOKING_S = 0.05
"""Between two looks at all processes, which take a while themselves."""
DTYPE = "float32"
"""What is remembered depends on it, and so does how long a block takes; by itself it would depend on the processor."""
SLOWLY = EncodePool(workers=1, block=BLOCK, batch_size=1)
"""A forward pass of a block for every few images."""


def asked(dataset: Path, bank: Path, output: Path, **changes: Any) -> Scan:
    settled = {"encode": EncodePool(workers=1, block=BLOCK), "read": Read(images_per_shard=1), **changes}
    settled |= {"model": Model(dtype=DTYPE)}
    return Scan(
        input=(str(dataset),),
        labels=str(bank),
        output=str(output),
        max_bad_fraction=0.05,
        **{"method": METHODS, "param": PARAMETERS, "reference": (str(dataset / REFERENCE),), **settled},
    )


def scanned(chosen: Scan) -> dict[str, Any]:
    return scan(chosen)


def command(dataset: Path, bank: Path, output: Path, *more: object) -> list[str]:
    """The same scan, slowly, in a process of its own."""
    given = ["--input", dataset, "--labels", bank, "--output", output, "--max-bad-fraction", 0.05]
    given += [
        "--reference",
        dataset / REFERENCE,
        "--images-per-shard",
        1,
        "--encode-block",
        BLOCK,
        "--batch-size",
        1,
        "--dtype",
        DTYPE,
        *more,
    ]
    for name in METHODS:
        given += ["--method", name]
    for name, value in PARAMETERS.items():
        given += ["--param", f"{name}={value}"]
    return [str(part) for part in [Path(sys.executable).with_name("oodscan"), "scan", *given]]


def remembered_files(output: Path) -> dict[str, bytes]:
    """All that is compared: scores, the gallery, and the memory and the consensus that they were made with."""
    parts = [
        *output.glob("scores/part-*"),
        *output.glob("gallery.parquet"),
        *output.glob("memory/*.parquet"),
        *output.glob("consensus/**/*.parquet"),
    ]
    return {str(path.relative_to(output)): unflagged(path) for path in parts}


def unflagged(path: Path) -> bytes:
    """A file as it was before the flags were made, which come when all is scored."""
    if path.parent.name != "scores":
        return path.read_bytes()
    table = pq.read_table(path)
    rest = table.drop_columns([name for name in table.column_names if name.startswith("is_ood_")])
    metadata = {key: value for key, value in table.schema.metadata.items() if key != THRESHOLDS_KEY}
    return table_bytes(rest, metadata)


@contextmanager
def new_cluster(monkeypatch: pytest.MonkeyPatch, cpus: int) -> Iterator[Cluster]:
    """A cluster of one node, which nobody joins by accident: Ray keeps the address of the last one that was started
    where every `ray.init()` looks for it."""
    # The directory's name is short, as paths of sockets have to be.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as place:
        monkeypatch.setenv("RAY_TMPDIR", place)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus})
        try:
            yield cluster
        finally:
            cluster.shutdown()


def parts(output: Path, folder: str) -> int:
    """How many shards the folder holds something of."""
    return len(list((output / folder).glob("part-*")))


def poll(condition: Callable[[], Any], every_s: float = 0.001, timeout_s: float = 120) -> Any:
    """What the condition comes to, once it is true of something."""
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(every_s)
    return found


def workers_of(pid: int, name: str) -> list[int]:
    """Process ids of the Ray workers under a process whose actors are of that class."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        try:
            if name in " ".join(child.cmdline()):
                found.append(child.pid)
        except psutil.NoSuchProcess:  # so is a zombie, which has no command line
            continue
    return found
