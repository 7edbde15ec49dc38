"""Scans and rescorings by TANL: equal to the plain functions however they are cut and resumed, checked, and refused."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as compute
import pyarrow.parquet as pq
import pytest
import torch

from ood_core.encoders import ClipEncoder
from ood_core.labels import LabelBank
from ood_core.methods import TANL
from ood_core.scores import score_dataset
from ood_core.scores.tanl_noise import noise_features
from ood_core.vectors import vectors_of
from pipelines.config.pools import EncodePool, ScorePool
from pipelines.config.rescore import ReadEmbeddings, Rescore
from pipelines.config.scan import Read, Scan
from pipelines.errors import CallerError
from pipelines.scans.rescore import rescore
from pipelines.scans.scan import scan
from pipelines.verify.verify import verify
from tests.conftest import DEMO, settled_dtype
from tests.pipelines.in_plan_order import score_rows

METHODS = ("neglabel", "tanl", "consensus")
PARAMETERS = {"neglabel.groups": 5, "tanl.labels_kept": 6, "tanl.gap": 0.1, "consensus.base": "tanl"}


def asked(dataset: Path, bank: Path, output: Path, **changes: Any) -> Scan:
    settled: dict[str, Any] = {"method": METHODS, "param": PARAMETERS, "read": Read(images_per_shard=12), **changes}
    return Scan(
        input=(str(dataset),),
        labels=str(bank),
        output=str(output),
        encode=EncodePool(workers=1),
        max_bad_fraction=0.05,
        **settled,
    )


@pytest.fixture(scope="module")
def whole(dataset: Path, bank_directory: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan by TANL, and consensus over it, which keeps its embeddings."""
    output = tmp_path_factory.mktemp("tanl") / "scan"
    scan(asked(dataset, bank_directory, output, embeddings=True))
    return output


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return noise_features(ClipEncoder.load(f"local-dir:{DEMO / 'model'}", dtype=settled_dtype("bundled")))


def test_a_scan_is_that_of_the_plain_functions(
    whole: Path,
    dataset: Path,
    bank_directory: Path,
    encoded_dataset: tuple[list[str], torch.Tensor],
    noise: torch.Tensor,
) -> None:
    keys, embeddings = encoded_dataset
    methods = asked(dataset, bank_directory, whole).methods()
    bank = LabelBank.load(bank_directory)
    expected = score_dataset(bank, methods, embeddings, keys, noise={"tanl": noise}).scores
    found = score_rows(whole).filter(compute.field("status") == "ok")
    assert found["key"].to_pylist() == keys
    for name in METHODS:
        np.testing.assert_array_equal(found[f"score_{name}"].to_numpy(), expected[name])
    assert len(np.unique(expected["tanl"])) > 100
    assert "memory_version" not in found.column_names


def test_the_summary_tells_what_the_rounds_have_found(whole: Path) -> None:
    said = json.loads((whole / "summary.json").read_text())["learned"]["tanl"]
    assert len(said["rounds"]) == 2
    for each in said["rounds"]:
        assert each["below"] + each["above"] == 126
        assert 0 <= each["threshold"] < 1
    assert len(said["labels"]) == 6
    assert verify(str(whole), {}, tables=True).problems == []
    assert sorted(path.name for path in (whole / "memory").iterdir()) == [
        *(f"rounds-{step}.parquet" for step in range(4)), "rounds-start.parquet",
    ]  # fmt: skip


def test_a_side_without_images_is_said(dataset: Path, bank_directory: Path, tmp_path: Path) -> None:
    said: list[str] = []
    param = {"tanl.gap": 1.0, "tanl.rounds": 1}  # nothing is above 1, or below 0
    scan(asked(dataset, bank_directory, tmp_path, method=("tanl",), param=param), say=said.append)
    assert [line.partition(" was ")[2] for line in said if line.startswith("tanl: in round 1 no image was ")] == [
        "surely out of distribution, so that it went by what it starts with: noise",
        "surely in distribution, so that it went by what it starts with: the ID labels alone",
    ]


def test_shards_and_workers_do_not_change_a_bit(
    whole: Path, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    changes = {"read": Read(images_per_shard=5), "encode": EncodePool(workers=2, cpus=0.5)}
    scan(asked(dataset, bank_directory, tmp_path, read=changes["read"]).model_copy(update=changes))
    names = ["url", "key", "score_tanl", "score_consensus"]
    order = [("url", "ascending"), ("key", "ascending")]
    found, expected = (score_rows(output).select(names).sort_by(order) for output in (tmp_path, whole))
    assert found.equals(expected)
    for step in range(4):
        one, other = (pq.read_table(output / f"memory/rounds-{step}.parquet") for output in (tmp_path, whole))
        assert one.equals(other)


@pytest.mark.parametrize(
    "lost",
    [
        ("memory/rounds-start.parquet",),
        ("memory/rounds-2.parquet",),
        ("memory/rounds-*", "scores/*"),
        ("scores/*folder*",),
    ],
    ids=["start", "a step", "all of it", "scores"],
)
def test_what_is_lost_is_made_again_with_the_same_bytes(
    whole: Path, dataset: Path, bank_directory: Path, tmp_path: Path, lost: Sequence[str]
) -> None:
    output = Path(shutil.copytree(whole, tmp_path / "scan"))
    for pattern in lost:
        gone = list(output.glob(pattern))
        assert gone
        for path in gone:
            path.unlink()
    scan(asked(dataset, bank_directory, output, embeddings=True))
    for pattern in ("scores/*", "memory/*", "consensus/**/*.parquet"):
        for path in whole.glob(pattern):
            assert (output / path.relative_to(whole)).read_bytes() == path.read_bytes()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _another_step(path: Path) -> None:
    shutil.copy(path.with_name("rounds-0.parquet"), path)


def _fewer_images(path: Path) -> None:
    table = pq.read_table(path)
    counts = table["count"].to_numpy().copy()
    counts[np.argmax(counts)] -= 1
    pq.write_table(table.set_column(0, table.schema.field(0), [counts]), path, write_page_checksum=True)


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("rounds-0.parquet", _cut, "memory/rounds-0.parquet cannot be read"),
        ("rounds-1.parquet", Path.unlink, "memory/rounds-1.parquet is missing"),
        ("rounds-1.parquet", _another_step, "memory/rounds-1.parquet: it is not of the rounds that were asked for"),
        ("rounds-2.parquet", _fewer_images, "memory/rounds-2.parquet: it is of another number of images"),
    ],
)
def test_damage_is_named(whole: Path, tmp_path: Path, name: str, spoil: Callable[[Path], Any], said: str) -> None:
    output = Path(shutil.copytree(whole, tmp_path / "scan"))
    spoil(output / "memory" / name)
    problems = verify(str(output), {}, tables=True).problems
    assert [problem for problem in problems if problem.startswith(said)], problems


def rescored(whole: Path, bank: Path, output: Path, **changes: Any) -> Path:
    settled: dict[str, Any] = {"method": ("tanl",), "param": {"tanl.labels_kept": 6, "tanl.gap": 0.1}, **changes}
    config = Rescore(
        embeddings=(str(whole / "embeddings"),),
        labels=str(bank),
        output=str(output),
        read=ReadEmbeddings(rows_per_shard=50),
        score=ScorePool(workers=1, cpus=1),
        **settled,
    )
    rescore(config)
    return output


def kept(whole: Path) -> tuple[list[str], torch.Tensor]:
    """The keys and embeddings that the scan has kept, in half precision, in the order in which they are rescored."""
    tables = [pq.read_table(path) for path in sorted((whole / "embeddings").iterdir())]
    keys = [key for table in tables for key in table["key"].to_pylist()]
    return keys, torch.from_numpy(
        np.concatenate([vectors_of(table["embedding"]) for table in tables]).astype(np.float32)
    )


@pytest.mark.parametrize("order", ["transductive", "sequential"])
def test_a_rescoring_is_that_of_the_plain_functions(
    whole: Path, bank_directory: Path, tmp_path: Path, order: Any
) -> None:
    param = {"tanl.labels_kept": 6, "tanl.gap": 0.1, "tanl.batch_size": 40, "tanl.memory_length": 8}
    output = rescored(whole, bank_directory, tmp_path, order=order, param=param)
    keys, embeddings = kept(whole)
    chosen = TANL(order=order, labels_kept=6, gap=0.1, batch_size=40, memory_length=8)
    # A rescoring settles the dtype of the encoder that sees the noise by the processor, as a scan does.
    seen = noise_features(ClipEncoder.load(f"local-dir:{DEMO / 'model'}", dtype=settled_dtype("bundled")))
    expected = score_dataset(
        LabelBank.load(bank_directory), {"tanl": chosen}, embeddings, keys, noise={"tanl": seen}
    ).scores["tanl"]
    found = score_rows(output)
    assert found["key"].to_pylist() == keys
    np.testing.assert_array_equal(found["score_tanl"].to_numpy(), expected)
    assert verify(str(output), {}, tables=True).problems == []


def refusal(work: Callable[[], Any]) -> str:
    with pytest.raises(CallerError) as raised:
        work()
    return str(raised.value)


def with_info(bank_directory: Path, place: Path, **changes: Any) -> Path:
    bank = LabelBank.load(bank_directory)
    dataclasses.replace(bank, info=dataclasses.replace(bank.info, content_hash=None, **changes)).save(place)
    return place


def test_a_bank_of_a_selection_is_refused_and_one_of_the_whole_corpus_is_not(
    dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    selected = with_info(bank_directory, tmp_path / "selected", criterion={"name": "neglabel", "fraction": 0.15})
    said = refusal(lambda: scan(asked(dataset, selected, tmp_path / "out")))
    assert said == (
        f"--method tanl chooses its negatives from the whole corpus, and --labels '{selected}' holds what --criterion "
        "neglabel has kept of one; build a bank with --criterion none"
    )
    everything = with_info(bank_directory, tmp_path / "everything", criterion={"name": "none"})
    assert scan(asked(dataset, everything, tmp_path / "out", method=("tanl",), param={"tanl.rounds": 1}))["success"]


def test_a_rescoring_without_a_model_cannot_make_noise(whole: Path, bank_directory: Path, tmp_path: Path) -> None:
    nameless = with_info(bank_directory, tmp_path / "nameless", model=None)
    said = refusal(lambda: rescored(whole, nameless, tmp_path / "out"))
    assert said.startswith("--method tanl needs an image encoder, for images of noise: give --model; --labels ")


def test_it_has_no_streaming_order(dataset: Path, bank_directory: Path, tmp_path: Path) -> None:
    said = refusal(lambda: scan(asked(dataset, bank_directory, tmp_path, order="streaming")))
    assert said == "--param tanl.order=streaming: Input should be 'transductive' or 'sequential'"
