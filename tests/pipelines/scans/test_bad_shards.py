"""What is wrong with a shard is its own: the others are scored, and a rerun tries what could not be read again."""

import gzip
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config.pools import EncodePool
from pipelines.config.scan import Scan
from pipelines.inputs.image_plan import WITHOUT_IMAGES
from pipelines.scans import scan as scans
from pipelines.verify.verify import verify
from tests.conftest import encoded, picture, write_tar
from tests.pipelines.in_plan_order import score_rows


def a_tar(path: Path, first: int, count: int = 4) -> None:
    write_tar(path, {f"{first + number}.jpg": encoded(picture(first + number), "JPEG") for number in range(count)})


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    root.mkdir()
    a_tar(root / "good.tar", 10)
    a_tar(root / "gone.tar", 20)
    a_tar(root / "other.tar", 30)
    a_tar(root / "zipped.tar", 40)
    (root / "zipped.tar").write_bytes(gzip.compress((root / "zipped.tar").read_bytes()))
    images = [encoded(picture(50)), encoded(picture(51))]
    twice = pa.Table.from_arrays([pa.array(images)] * 2, names=["image", "image"])
    pq.write_table(twice, root / "twice.parquet")
    pq.write_table(pa.table({"caption": ["no image"]}), root / "metadata.parquet")
    return root


def test_a_bad_shard_costs_its_own_rows_and_is_tried_again(
    inputs: Path, bank_directory: Path, tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, aside, said = tmp_path / "scan", tmp_path / "gone.tar", list[str]()
    chosen = Scan(
        input=(str(inputs),), labels=str(bank_directory), output=str(output), max_bad_fraction=0.5,
        threshold={"neglabel": 0.5, "max-cos": 0.3}, encode=EncodePool(workers=1),
    )  # fmt: skip
    place = scans._placed

    def scanned(gone: bool) -> dict[str, Any]:
        """A scan, of which one tar vanishes between the plan and the first worker."""

        def placed(*arguments: Any) -> Any:
            if gone:
                shutil.move(inputs / "gone.tar", aside)
            return place(*arguments)

        monkeypatch.setattr(scans, "_placed", placed)
        said.clear()
        return scans.scan(chosen, say=said.append)

    first = scanned(gone=True)
    rows = score_rows(output)
    assert first["statuses"] == {"ok": 8, "damaged-archive": 1, "missing-image": 2, "unreadable-file": 1}
    assert first["passed_over"] == {WITHOUT_IMAGES: 1}
    assert first["bad_shards"] == 2, "gone and zipped"
    assert not first["success"]
    assert not (output / "_SUCCESS").exists()
    errors = rows["error"].drop_null().to_pylist()
    assert sum(f"{inputs}/gone.tar cannot be read" in error for error in errors) == 1
    assert verify(str(output), {}, tables=True).problems == []

    stat = aside.stat()
    shutil.move(aside, inputs / "gone.tar")
    os.utime(inputs / "gone.tar", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    kept = {path: path.stat().st_mtime_ns for path in (output / "scores").iterdir() if "good" in path.name}
    second = scanned(gone=False)
    assert any("1 shards that could not be read are tried again" in line for line in said)
    assert second["statuses"] == {"ok": 12, "damaged-archive": 1, "missing-image": 2}
    assert second["last_run"]["images"] == 4
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert verify(str(output), {}, tables=True).problems == []

    before = score_rows(output)
    (inputs / "other.tar").unlink()
    third = scanned(gone=False)
    assert any("1 shards that were planned are gone from the input" in line for line in said)
    assert third["statuses"] == second["statuses"]
    assert score_rows(output).equals(before)
    assert json.loads((output / "summary.json").read_text())["records"] == 15
