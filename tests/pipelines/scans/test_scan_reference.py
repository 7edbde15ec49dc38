"""Scans whose reference is images, which the same encoders encode first, or an earlier scan."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as compute
import pytest
import torch

from ood_core.labels import LabelBank
from ood_core.scores import score_dataset
from pipelines.config.pools import EncodePool
from pipelines.config.scan import Read, Scan
from pipelines.errors import CallerError
from pipelines.scans.scan import scan
from pipelines.storage import Directory
from pipelines.verify.verify import verify
from tests.conftest import Storage
from tests.pipelines.in_plan_order import score_rows

METHODS = ("neglabel", "max-cos", "reference", "consensus")
PARAMETERS = {"neglabel.groups": 5}
GOOD, BAD = 126, 4


def asked(dataset: Path | str, bank: Path | str, output: Path | str, reference: Any, **changes: Any) -> Scan:
    settled: dict[str, Any] = {"method": METHODS, "param": PARAMETERS, **changes}
    return Scan(
        input=(str(dataset),),
        labels=str(bank),
        output=str(output),
        reference=(str(reference),),
        encode=EncodePool(workers=1),
        read=Read(images_per_shard=12),
        max_bad_fraction=0.05,
        **settled,
    )


@pytest.fixture(scope="module")
def of_images(dataset: Path, bank_directory: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan whose reference is its own input, which keeps its embeddings."""
    output = tmp_path_factory.mktemp("of images") / "scan"
    scan(asked(dataset, bank_directory, output, dataset, embeddings=True))
    return output


def test_a_reference_of_images_is_that_of_the_plain_functions(
    of_images: Path, dataset: Path, bank_directory: Path, encoded_dataset: tuple[list[str], torch.Tensor]
) -> None:
    keys, embeddings = encoded_dataset
    methods = asked(dataset, bank_directory, of_images, dataset).methods()
    expected = score_dataset(LabelBank.load(bank_directory), methods, embeddings, keys, reference=embeddings).scores
    found = score_rows(of_images).filter(compute.field("status") == "ok")
    for name in METHODS:
        np.testing.assert_array_equal(found[f"score_{name.replace('-', '_')}"].to_numpy(), expected[name])
    said = json.loads((of_images / "summary.json").read_text())["learned"]["reference"]
    assert (said["images"], said["unusable"], said["in_scan_too"], said["base"]) == (GOOD, BAD, GOOD, "neglabel")
    assert verify(str(of_images), {}, tables=True).problems == []
    assert not (of_images / "reference").exists()


def test_an_earlier_scan_is_a_reference_and_the_images_of_both_are_known_again(
    of_images: Path, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    summary = scan(asked(dataset, bank_directory, tmp_path / "out", of_images), say=said.append)
    assert summary["learned"]["reference"]["images"] == GOOD
    assert f"reference: {GOOD} images of the scan are in it too, which speaks for them" in said
    found, before = (score_rows(output) for output in (tmp_path / "out", of_images))
    for name in ("evidence", "coverage", "score_reference"):  # the reference's embeddings are in half precision now
        one, other = (rows[name].drop_null().to_numpy() for rows in (found, before))
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-2)


def test_a_scan_by_another_model_is_no_reference(
    of_images: Path, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    (other / "embeddings").mkdir(parents=True)
    for path in (of_images / "embeddings").iterdir():
        (other / "embeddings" / path.name).write_bytes(path.read_bytes())
    recorded = json.loads((of_images / "scan.json").read_text())
    recorded["identity"]["weights"] = "0123456789abcdef"
    (other / "scan.json").write_text(json.dumps(recorded))
    with pytest.raises(CallerError, match=f"^--reference '{other}' is a scan by another model: .* 0123456789ab…"):
        scan(asked(dataset, bank_directory, tmp_path / "out", other))
    assert not (tmp_path / "out").exists()


def test_a_reference_is_read_from_any_storage(
    storage: Storage, of_images: Path, dataset: Path, bank_directory: Path
) -> None:
    if not storage.options:
        pytest.skip("the other tests are on disk")
    given = storage.upload(dataset, "data"), storage.upload(bank_directory, "bank")
    output = f"{storage.root}/out"
    scan(asked(*given, output, given[0]), storage.options)
    found = json.loads(Directory(output, storage.options).read("summary.json"))["learned"]
    assert found == json.loads((of_images / "summary.json").read_text())["learned"]
