"""A rescoring killed in its first step or its last ends with the bytes of an uninterrupted one when rerun."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ood_core.labels import LabelBank
from pipelines.config.rescore import ReadEmbeddings, Rescore
from pipelines.scans.rescore import rescore
from pipelines.verify.verify import verify
from tests.faults.remembering import unflagged

OODSCAN = Path(sys.executable).with_name("oodscan")
ROWS, ROWS_PER_SHARD, DIM = 3000, 20, 32


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank, and images near its labels, for as many shards as take a while."""
    place, random = tmp_path_factory.mktemp("given"), np.random.default_rng(0)
    labels = unit(random.normal(size=(40, DIM)))
    LabelBank(
        [f"label {number}" for number in range(40)], ["noun"] * 40, 10, labels, np.full(40, np.nan), [None] * 40
    ).save(place / "bank")
    values = unit(labels[random.integers(40, size=ROWS)] + 0.15 * random.normal(size=(ROWS, DIM)))
    keys = [f"image {row:05d}" for row in range(ROWS)]
    pq.write_table(pa.table({"key": keys, "embedding": values.tolist()}), place / "images.parquet")
    return place


def command(given: Path, output: Path) -> list[str]:
    asked = [OODSCAN, "rescore", "--embeddings", given / "images.parquet", "--labels", given / "bank", "--output"]
    asked += [output, "--method", "adaneg", "--rows-per-shard", ROWS_PER_SHARD, "--score-workers", 1]
    return [str(part) for part in asked]


def files(output: Path) -> dict[str, bytes]:
    """All that is compared: scores and memory. What shards have offered it depends on what workers knew of it."""
    parts = [*output.glob("scores/part-*"), *output.glob("memory/snapshot-*.parquet")]
    return {str(path.relative_to(output)): unflagged(path) for path in parts}


@pytest.fixture(scope="module")
def uninterrupted(given: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The same rescoring, in this process."""
    output = tmp_path_factory.mktemp("uninterrupted")
    chosen = Rescore(
        embeddings=(str(given / "images.parquet"),),
        labels=str(given / "bank"),
        output=str(output),
        method=("adaneg",),
        read=ReadEmbeddings(rows_per_shard=ROWS_PER_SHARD),
    )
    rescore(chosen)
    return files(output)


@pytest.fixture
def killed() -> Iterator[Callable[[list[str], Path, str], None]]:
    """Starts a rescoring in a process of its own, and kills it at the second file of a folder."""
    running = []

    def run(asked: list[str], output: Path, folder: str) -> None:
        with (output / "said").open("w") as said:
            process = subprocess.Popen(asked, stdout=said, stderr=said)
        running.append(process)
        end = time.monotonic() + 240
        while len(list((output / folder).glob("part-*"))) < 2:
            assert process.poll() is None, (output / "said").read_text()
            assert time.monotonic() < end, (output / "said").read_text()
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()

    yield run
    for process in running:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("folder", "memories"), [("memory/candidates", 0), ("scores", 1)])
def test_a_rescoring_killed_at_any_pass_is_finished_by_the_same_command(
    given: Path,
    tmp_path: Path,
    uninterrupted: dict[str, bytes],
    killed: Callable[[list[str], Path, str], None],
    folder: str,
    memories: int,
) -> None:
    asked = command(given, tmp_path)
    killed(asked, tmp_path, folder)
    before = files(tmp_path)
    assert len(list(tmp_path.glob("memory/*.parquet"))) == memories
    assert 2 <= len(list((tmp_path / folder).glob("part-*"))) < ROWS // ROWS_PER_SHARD
    assert before.items() <= uninterrupted.items()
    assert not (tmp_path / "_SUCCESS").exists()
    again = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=280)
    scored = sum(name.startswith("scores/") for name in before)
    known = re.search(r"(\d+) already committed", again.stderr)
    assert known and scored <= int(known[1]) < ROWS // ROWS_PER_SHARD  # workers outlive the driver by a moment
    assert files(tmp_path) == uninterrupted
    assert verify(str(tmp_path), {}, tables=True).problems == []
