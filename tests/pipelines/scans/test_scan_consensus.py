"""Scans by consensus: over scores that are there after one pass, or after two; equal to the plain functions."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq
import pytest
import torch

from ood_core.labels import LabelBank
from ood_core.scores import score_dataset
from pipelines.config.memory import Memory
from pipelines.config.pools import EncodePool
from pipelines.config.scan import Read, Scan
from pipelines.scans.scan import scan
from pipelines.verify.verify import verify
from tests.pipelines.in_plan_order import score_rows

METHODS = ("consensus", "adaneg", "neglabel")
PARAMETERS = {"adaneg.gap": 0, "adaneg.memory_length": 4, "neglabel.groups": 5}
OVER_ADANEG = {**PARAMETERS, "consensus.base": "adaneg"}


def asked(dataset: Path, bank: Path, output: Path, **changes: Any) -> Scan:
    settled: dict[str, Any] = {"method": METHODS, "param": OVER_ADANEG, "encode": EncodePool(workers=1), **changes}
    return Scan(
        input=(str(dataset),),
        labels=str(bank),
        output=str(output),
        read=Read(images_per_shard=12),
        max_bad_fraction=0.05,
        **settled,
    )


def scanned(chosen: Scan) -> dict[str, Any]:
    return scan(chosen)


def good_rows(output: Path, columns: Sequence[str]) -> pa.Table:
    return score_rows(output).filter(compute.field("status") == "ok").select(columns)


@pytest.fixture(scope="module")
def reference(dataset: Path, bank_directory: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan by a method that learns, and consensus over its scores."""
    output = tmp_path_factory.mktemp("reference") / "scan"
    scanned(asked(dataset, bank_directory, output, embeddings=True))
    return output


def test_consensus_over_learned_scores_is_that_of_the_plain_functions(
    reference: Path, dataset: Path, bank_directory: Path, encoded_dataset: tuple[list[str], torch.Tensor]
) -> None:
    methods = asked(dataset, bank_directory, reference).methods()
    keys, embeddings = encoded_dataset
    expected = score_dataset(LabelBank.load(bank_directory), methods, embeddings, keys).scores
    found = good_rows(reference, ["key", *(f"score_{name}" for name in METHODS)])
    assert found["key"].to_pylist() == keys
    for name in METHODS:
        np.testing.assert_array_equal(found[f"score_{name}"].to_numpy(), expected[name])
    assert abs(np.corrcoef(expected["consensus"], expected["adaneg"])[0, 1]) < 0.999


def test_the_scan_directory_keeps_votes_and_embeddings_and_drops_what_steps_hand_on(reference: Path) -> None:
    assert sorted(path.name for path in reference.iterdir()) == [
        "_SUCCESS", "consensus", "embeddings", "gallery.parquet", "manifest", "memory", "plan.parquet", "scan.json",
        "scores", "summary.json", "thresholds.json",
    ]  # fmt: skip
    table = pq.read_schema(min((reference / "scores").iterdir()))
    assert table.names[table.names.index("negative_label") + 1 :] == [
        "score_consensus", "score_adaneg", "score_neglabel", "is_ood_consensus", "is_ood_adaneg", "is_ood_neglabel",
        "anchor", "consensus_weight", "consensus_shift", "memory_version", "url", "offset", "length", "row",
    ]  # fmt: skip
    assert pq.read_schema(min((reference / "embeddings").iterdir())).field("embedding").type.value_type == pa.float16()
    assert verify(str(reference), {}, reread=True).problems == []


@pytest.mark.parametrize(
    "changes",
    [
        {"method": ("neglabel", "consensus"), "param": {"neglabel.groups": 5}},
        {"order": "streaming", "memory": Memory(max_staleness=1)},
    ],
    ids=["one pass", "streaming order"],
)
def test_consensus_over_one_pass_moves_every_score_by_what_it_says(
    dataset: Path, bank_directory: Path, ray_session: None, tmp_path: Path, changes: dict[str, Any]
) -> None:
    summary = scanned(asked(dataset, bank_directory, tmp_path, **changes))
    assert summary["last_run"]["images"] == 130
    assert summary["learned"]["consensus"]["images"] == 126
    assert verify(str(tmp_path), {}, tables=True).problems == []
    assert not list(tmp_path.glob("*-pass"))
    base = summary["learned"]["consensus"]["base"]
    found = good_rows(tmp_path, [f"score_{base}", "score_consensus", "consensus_shift", "consensus_weight"])
    share = found[f"score_{base}"].to_numpy() / (1.1 if base == "adaneg" else 1)
    odds = np.log(share / (1 - share))
    standard = (odds - odds.mean()) / odds.std()
    moved = found["consensus_shift"].to_numpy()
    np.testing.assert_allclose(found["score_consensus"].to_numpy(), standard + moved, atol=1e-9)
    assert found["consensus_weight"].to_numpy().max() > 0
    assert np.abs(moved).max() > 0.01


NOT_THE_SAME = ("manifest/", "summary.json", "memory/candidates/")


def contents(output: Path) -> dict[str, bytes]:
    """The files that a run leaves, but for what depends on the time, or on which worker was the first to offer."""
    found = {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if not name.startswith(NOT_THE_SAME)}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def edit(path: Path) -> None:
    table = pq.read_table(path)
    place = table.column_names.index("score_neglabel")
    nothing = pa.array([0.5] * len(table), pa.float64())
    pq.write_table(table.set_column(place, "score_neglabel", nothing), path)


GONE = Path.unlink
DAMAGES = {
    "files of which there is one": {
        "memory/snapshot-*": cut,
        "consensus/sums-2.parquet": cut,
        "gallery.parquet": cut,
        "plan.parquet": cut,
        "summary.json": cut,
    },
    "files of a shard": {
        "memory/candidates/*": cut,
        "consensus/votes/*": cut,
        "embeddings/*": cut,
        "scores/*": edit,
    },
    "files that are lost": {
        "memory/candidates/*": GONE,
        "consensus/votes/*": GONE,
        "embeddings/*": GONE,
        "plan.parquet": GONE,
        "consensus/anchors.parquet": GONE,
    },
}


@pytest.mark.parametrize("damages", DAMAGES.values(), ids=DAMAGES)
def test_what_is_not_whole_of_a_finished_scan_is_made_again_and_named(
    reference: Path, dataset: Path, bank_directory: Path, tmp_path: Path, damages: dict[str, Callable[[Path], None]]
) -> None:
    output, said = Path(shutil.copytree(reference, tmp_path / "scan")), list[str]()
    names = list[str]()
    for number, (pattern, damage) in enumerate(damages.items()):
        found = sorted(output.glob(pattern))
        damaged = found[number % len(found)]  # of another shard each
        names.append(str(damaged.relative_to(output)))
        damage(damaged)
    scan(asked(dataset, bank_directory, output, embeddings=True), say=said.append)
    assert contents(output) == contents(reference)
    assert verify(str(output), {}, tables=True).problems == []
    unsaid = [name for name in names if not any(name in line for line in said)]
    assert unsaid in ([], ["summary.json"])
