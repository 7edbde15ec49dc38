"""What a scan remembers, and the scores that depend on it, are the same however the work is cut and spread."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import pipelines.runtime.cluster
import pipelines.scans.encode_images
from pipelines.config.memory import Memory
from pipelines.config.pools import EncodePool
from pipelines.config.scan import Read
from pipelines.inputs.plan import Shard, blocks_of
from pipelines.scans.scan import scan
from pipelines.verify.verify import verify
from tests.faults.remembering import BLOCK, SHARDS, asked, remembered_files, scanned


def test_the_memory_is_full_and_the_scores_are_not_the_static_ones(remembered: Path) -> None:
    memory = pq.read_table(remembered / "memory" / f"snapshot-{SHARDS}.parquet")
    rows = Counter(zip(memory["method"].to_pylist(), memory["row"].to_pylist(), strict=True))
    assert rows == {
        **{("adaneg", row): 2 for row in (0, 6, 7, 9, 11, 13)},
        ("interneg", 0): 20,
        ("interneg", 1): 1,
    }
    assert len(pq.read_table(remembered / "memory" / "extra-negatives.parquet")) == 3
    scores = pq.read_table(remembered / "scores")
    scores = scores.filter(scores["score_neglabel"].is_valid())
    static = scores["score_neglabel"].to_numpy()
    assert np.abs(scores["score_interneg"].to_numpy() - static).min() > 0.01
    assert np.median(np.abs(scores["score_adaneg"].to_numpy() - 1.1 * static)) > 0.1  # 1 + static_weight


@pytest.mark.parametrize(
    ("encode", "changes"),
    [
        ({"workers": 2, "decode_threads": 1, "batch_size": 17}, {"memory": Memory(shards=3)}),
        ({"workers": 1, "decode_threads": 8, "batch_size": 300}, {}),
        ({"workers": 4, "decode_threads": 2, "batch_size": 3, "cpus": 0.25}, {}),
    ],
    ids=["two workers, odd batches, three actors", "eight threads, one batch", "four workers, small batches"],
)
def test_workers_threads_batches_and_actors_do_not_change_a_byte(
    remembered: Path, dataset: Path, bank_directory: Path, tmp_path: Path, encode: dict, changes: dict[str, Any]
) -> None:
    scanned(asked(dataset, bank_directory, tmp_path, encode=EncodePool(block=BLOCK, **encode), **changes))
    assert remembered_files(tmp_path) == remembered_files(remembered)
    assert verify(str(tmp_path), {}, tables=True).problems == []


def test_how_input_is_split_does_not_change_a_score(
    remembered: Path, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    """Shards are named and filled otherwise; what is said of each image is the same to the last bit."""
    encode = EncodePool(workers=2, decode_threads=2, block=BLOCK, batch_size=17)
    scanned(asked(dataset, bank_directory, tmp_path, encode=encode, read=Read(images_per_shard=7)))
    assert len(list(tmp_path.glob("scores/part-*"))) < SHARDS
    assert rows_by_key(tmp_path) == rows_by_key(remembered)


def rows_by_key(output: Path) -> list[dict[str, Any]]:
    """The rows of all score tables, in the order of their keys, without what counts shards or places in one."""
    rows = pq.read_table(output / "scores").drop_columns(["shard", "index", "memory_version"]).to_pylist()
    return sorted(rows, key=lambda row: (row["key"], row["url"], row["offset"] or 0, row["row"] or 0))


def test_the_order_of_shards_and_the_size_of_blocks_do_not_change_a_byte(
    remembered: Path, dataset: Path, bank_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = EncodePool(workers=4, cpus=0.25, block=BLOCK, batch_size=3)

    def shuffled(groups: list[list[Shard]]) -> list[Any]:
        return blocks_of(random.Random(0).sample(groups, len(groups)))

    monkeypatch.setattr(pipelines.runtime.cluster, "BLOCK_BYTES", 20_000)  # a row of pixels has 12 288
    monkeypatch.setattr(pipelines.scans.encode_images, "blocks_of", shuffled)
    assert scan(asked(dataset, bank_directory, tmp_path, encode=encode))["records"] == 130
    assert remembered_files(tmp_path) == remembered_files(remembered)
    assert verify(str(tmp_path), {}, tables=True).problems == []
