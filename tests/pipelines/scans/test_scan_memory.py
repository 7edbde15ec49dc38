"""Scans by methods that learn from the images: in transductive or in streaming order, equal to the plain functions."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ood_core.labels import LabelBank
from ood_core.scores import score_dataset
from pipelines.config.memory import Memory
from pipelines.config.pools import EncodePool
from pipelines.config.scan import Read, Scan
from pipelines.scans.scan import scan
from pipelines.storage import Directory
from pipelines.verify.verify import verify
from tests.conftest import Storage
from tests.pipelines.in_plan_order import parts, score_rows

METHODS = ("adaneg", "neglabel")
PARAMETERS = {"adaneg.gap": 0, "adaneg.memory_length": 4, "neglabel.groups": 5}
SHARDS, SNAPSHOT = 7, "memory/snapshot-7.parquet"


def asked(dataset: str, bank: str, output: str, **changes: Any) -> Scan:
    settled: dict[str, Any] = {
        "param": PARAMETERS,
        "encode": EncodePool(workers=1),
        "max_bad_fraction": 0.05,
        **changes,
    }
    read = Read(images_per_shard=12)
    return Scan(input=(dataset,), labels=bank, output=output, method=METHODS, read=read, **settled)


def scanned(chosen: Scan, options: dict[str, str] | None = None) -> dict[str, Any]:
    return scan(chosen, options or {})


def contents(output: Path) -> dict[str, bytes]:
    """Scores, and the memory that they were made with."""
    directory = Directory(str(output))
    return {
        name: directory.read(name) for name in [*(f"scores/{name}" for name in directory.names("scores")), SNAPSHOT]
    }


@pytest.fixture(scope="module")
def reference(dataset: Path, bank_directory: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted scan in transductive order."""
    output = tmp_path_factory.mktemp("reference") / "scan"
    scanned(asked(str(dataset), str(bank_directory), str(output)))
    return output


def test_a_scan_that_learns_finds_what_the_plain_functions_find(
    reference: Path,
    dataset: Path,
    bank_directory: Path,
    encoded_dataset: tuple[list[str], torch.Tensor],
    tmp_path: Path,
) -> None:
    methods = asked(str(dataset), str(bank_directory), str(tmp_path)).methods()
    keys, embeddings = encoded_dataset
    expected = score_dataset(LabelBank.load(bank_directory), methods, embeddings, keys).scores
    found = score_rows(reference)
    good = found.filter(found["score_adaneg"].is_valid())
    assert good["key"].to_pylist() == keys
    for name in METHODS:
        np.testing.assert_array_equal(good[f"score_{name}"].to_numpy(), expected[name])
    assert np.abs(expected["adaneg"] - 1.1 * expected["neglabel"]).max() > 0.01


def test_the_scan_directory_keeps_the_memory_and_drops_what_steps_hand_on(reference: Path) -> None:
    assert sorted(path.name for path in reference.iterdir()) == [
        "_SUCCESS", "gallery.parquet", "manifest", "memory", "plan.parquet", "scan.json", "scores", "summary.json",
        "thresholds.json",
    ]  # fmt: skip
    assert pq.read_schema(min((reference / "scores").iterdir())).names == [
        "shard", "index", "key", "status", "error", "width", "height", "id_label", "id_probability", "negative_label",
        "score_adaneg", "score_neglabel", "is_ood_adaneg", "is_ood_neglabel", "memory_version",
        "url", "offset", "length", "row",
    ]  # fmt: skip
    found = pq.read_table(reference / "scores")
    assert set(found["memory_version"].drop_null().to_pylist()) == {SHARDS}
    summary = json.loads((reference / "summary.json").read_text())
    assert summary["statuses"]["ok"] == 126
    assert summary["learned"]["adaneg"]["images"] == len(pq.read_table(reference / SNAPSHOT)) > 10
    assert summary["last_run"]["images"] == 130
    assert summary["last_run"]["memory"]["adaneg"]["offered"] >= summary["learned"]["adaneg"]["images"]
    assert verify(str(reference), {}, reread=True).problems == []


def test_a_score_table_that_was_lost_is_made_again_with_the_same_bytes(
    reference: Path, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    output = Path(shutil.copytree(reference, tmp_path / "scan"))
    (output / "scores" / parts(output)[0]).unlink()
    summary = scanned(asked(str(dataset), str(bank_directory), str(output)))
    assert summary["last_run"]["images"] == 40
    assert contents(output) == contents(reference)


def test_streaming_order_scores_in_one_pass_and_remembers_the_same(
    reference: Path, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    memory = Memory(max_staleness=1)
    chosen = asked(str(dataset), str(bank_directory), str(tmp_path), order="streaming", memory=memory, embeddings=True)
    scanned(chosen)
    assert pq.read_table(tmp_path / SNAPSHOT).equals(pq.read_table(reference / SNAPSHOT))
    assert verify(str(tmp_path), {}, reread=True).problems == []
    found, before = (pq.read_table(place / "scores").sort_by("key") for place in (tmp_path, reference))
    assert found["score_neglabel"].equals(before["score_neglabel"])
    assert found["memory_version"].drop_null().to_numpy().min() > 0


@pytest.mark.parametrize("storage", ["moto"], indirect=True)
def test_a_memory_in_object_storage_is_gone_on_with_on_the_next_night(
    storage: Storage, reference: Path, dataset: Path, bank_directory: Path
) -> None:
    """The same images again: what they have taught is known already."""
    before, bank = storage.upload(reference, "before"), storage.upload(bank_directory, "bank")
    for memory in (Memory(uri=before, shards=2), Memory(uri=before, freeze=True)):
        output = f"{storage.root}/after-{memory.freeze}"
        scanned(asked(str(dataset), bank, output, memory=memory), storage.options)
        assert verify(output, storage.options, tables=True).problems == []
        for part in Directory(output, storage.options).names("scores"):
            found, expected = (read(place, f"scores/{part}", storage) for place in (output, before))
            assert found.equals(expected)
    assert read(f"{storage.root}/after-False", SNAPSHOT, storage).equals(read(before, SNAPSHOT, storage))


def read(place: str, name: str, storage: Storage) -> pa.Table:
    return pq.read_table(pa.BufferReader(Directory(place, storage.options).read(name)))
