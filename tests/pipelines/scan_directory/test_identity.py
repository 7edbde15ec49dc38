import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ood_core.preprocessing import Preprocessing
from pipelines.errors import CallerError
from pipelines.inputs.image_plan import plan_images
from pipelines.runtime.model import ModelFacts
from pipelines.scan_directory.identity import asked_for, begin, check_unchanged, fingerprint, model_identity
from pipelines.storage import Directory
from tests.pipelines.made_scan import FACTS, SPEC, configured, make_scan


def on(**changed: str) -> ModelFacts:
    """The facts as a worker on another machine tells them."""
    assert FACTS.machine is not None
    return replace(FACTS, machine=replace(FACTS.machine, **changed))


def rerun(root: Path, bank: str = "bank hash", spec=SPEC, facts=FACTS, **changed: Any) -> bool:
    config = configured(root).model_copy(update=changed)
    planned = plan_images(config.input, config.read, {})
    identity = asked_for(config, config.methods(), bank, planned) | model_identity(spec, facts)
    return check_unchanged(Directory(config.output), identity, planned)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_scan(tmp_path)
    return tmp_path


def test_the_same_scan_goes_on(root: Path) -> None:
    assert rerun(root)


def test_where_no_scan_is_one_may_begin(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.jpg").touch()
    assert not rerun(tmp_path)


def test_how_fast_it_runs_and_what_is_tolerated_make_no_other_scan(root: Path) -> None:
    encode = configured(root).encode.model_copy(update={"workers": 7, "batch_size": 9})
    assert rerun(root, max_bad_fraction=0.5, encode=encode)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": ("mcm", "neglabel")}, "method was 'mcm' and is now 'mcm, neglabel'"),
        ({"param": {"mcm.temperature": 0.5}}, "mcm.temperature was 1.0 and is now 0.5"),
        ({"bank": "other"}, "labels was 'bank hash' and is now 'other'"),
        ({"embeddings": False}, "embeddings was True and is now False"),
        ({"read": {"images_per_shard": 2}}, "read.images_per_shard was 3 and is now 2"),
        ({"read": {"max_image_pixels": 9}}, "read.max_image_pixels was 100000000 and is now 9"),
        ({"spec": replace(SPEC, name="ViT-B-16")}, "model was 'bundled' and is now 'ViT-B-16'"),
        ({"spec": replace(SPEC, pretrained="x.pt")}, "pretrained was None and is now 'x.pt'"),
        ({"spec": replace(SPEC, dtype="bfloat16")}, "dtype was 'float32' and is now 'bfloat16'"),
        ({"spec": replace(SPEC, device="cuda")}, "device was 'cpu' and is now 'cuda'"),
        ({"spec": replace(SPEC, compiled=True)}, "compile was False and is now True"),
        ({"facts": on(processor="NVIDIA L4")}, "processor was 'NVIDIA H100' and is now 'NVIDIA L4'"),
        ({"facts": on(torch="2.14.0")}, "torch was '2.13.0' and is now '2.14.0'"),
        ({"facts": on(torchvision="0.29.0")}, "torchvision was '0.28.0' and is now '0.29.0'"),
        ({"facts": on(pillow="14.0.0")}, "pillow was '13.0.0' and is now '14.0.0'"),
        ({"spec": replace(SPEC, mixed=True)}, "processor was 'NVIDIA H100' and is now 'mixed'"),
        ({"spec": replace(SPEC, block=16)}, "encode.block was 32 and is now 16"),
        ({"facts": replace(FACTS, weights="new")}, "weights was 'weights' and is now 'new'"),
        ({"facts": replace(FACTS, preprocessing=Preprocessing((9, 9)))}, "preprocessing was "),
    ],
)
def test_whatever_changes_the_scores_is_refused_and_named(root: Path, changed: dict[str, Any], message: str) -> None:
    if "read" in changed:
        base = {"images_per_shard": 3} | changed["read"]
        changed = {"read": configured(root).read.model_copy(update=base)}
    with pytest.raises(CallerError) as raised:
        rerun(root, **changed)
    assert str(raised.value).startswith(f"--output '{root}/out' holds another scan: {message}")
    assert str(raised.value).endswith("; use another --output, or --new-scan to start over")


def touch(root: Path) -> None:
    os.utime(root / "data/1.jpg", (1, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "data/1.jpg").write_bytes(b"longer than before"), "data/1.jpg' has changed"),
        (touch, "data/0.jpg', or another file of data-[0-9a-f]{8}, has changed"),
        (lambda root: os.utime(root / "data/empty.tar", (1, 1)), "data/empty.tar' has changed"),
        (lambda root: (root / "data/9.jpg").touch(), "data/9.jpg' is new"),
        (lambda root: (root / "data/00.jpg").touch(), "data/00.jpg' is new"),
        (lambda root: (root / "data/1.jpg").unlink(), "data/1.jpg' is gone"),
        (lambda root: (root / "data/empty.tar").unlink(), "data/empty.tar' is gone"),
        (lambda root: (root / "data/4.jpg").unlink(), "data/4.jpg' is gone"),
    ],
)
def test_an_input_that_differs_is_named(root: Path, change: Callable[[Path], Any], message: str) -> None:
    change(root)
    with pytest.raises(CallerError, match=rf"holds another scan: input 'file://{root}/{message}; use"):
        rerun(root)


def test_another_order_of_the_same_inputs_is_refused(root: Path) -> None:
    (root / "data/list.txt").write_text("4.jpg\n3.jpg\n2.jpg\n1.jpg\n0.jpg\nempty.tar\n")
    with pytest.raises(CallerError, match="has changed|in another order"):
        rerun(root, input=(str(root / "data/list.txt"),))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"identity": 3}', b"null", b"\xff\xfe"])
def test_a_broken_record_of_a_scan_is_refused(root: Path, content: bytes) -> None:
    (root / "out/scan.json").write_bytes(content)
    with pytest.raises(CallerError, match="holds a scan.json that cannot be read"):
        rerun(root)


@pytest.mark.parametrize("content", [b"", b"PAR1", None])
def test_a_broken_recorded_plan_is_refused_where_it_is_needed(root: Path, content: bytes | None) -> None:
    (root / "data/1.jpg").unlink()
    plan_file = root / "out/plan.parquet"
    plan_file.unlink() if content is None else plan_file.write_bytes(content)
    with pytest.raises(CallerError, match="holds a plan.parquet that cannot be read"):
        rerun(root)


def test_what_is_recorded_has_the_fingerprint_of_its_identity(root: Path) -> None:
    recorded = json.loads((root / "out/scan.json").read_bytes())
    assert recorded["fingerprint"] == fingerprint(recorded["identity"])
    assert recorded["config"]["method"] == ["mcm"]
    assert recorded["versions"]["pyarrow"]


@pytest.mark.parametrize("rows", [7, 2000])
def test_a_table_in_several_shards_that_has_changed_is_named(tmp_path: Path, rows: int) -> None:
    config = configured(tmp_path)
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"image": [b"x"] * 7}), tmp_path / "data/a.parquet")
    planned = plan_images(config.input, config.read, {})
    assert len(planned.shards) == 3
    identity = asked_for(config, config.methods(), "bank hash", planned) | model_identity(SPEC, FACTS)
    begin(Directory(config.output), config, identity, planned)
    assert rerun(tmp_path)
    pq.write_table(pa.table({"image": [b"y"] * rows}), tmp_path / "data/a.parquet")
    os.utime(tmp_path / "data/a.parquet", (1, 1))
    with pytest.raises(CallerError, match=r"data/a.parquet' has changed; use"):
        rerun(tmp_path)
