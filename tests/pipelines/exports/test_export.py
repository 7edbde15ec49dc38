"""Exports of scans made by hand, all but the copies, which `test_write_file` and `test_on_ray` look at."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config.rescore import Rescore
from pipelines.errors import CallerError
from pipelines.exports.export import Exported, export
from pipelines.exports.label_studio import image_url
from pipelines.exports.request import Asked
from pipelines.exports.tally import Amount
from pipelines.inputs.plan import Plan, Shard
from pipelines.scan_directory.identity import fingerprint
from pipelines.scan_directory.layout import FINGERPRINT_KEY, table_bytes
from pipelines.storage import Directory
from tests.conftest import write_tar
from tests.pipelines.exports.scored import make_scan


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    """A tar, a table and a folder, of which four images are bad and one file is empty."""
    write_tar(tmp_path / "data.tar", {"a.jpg": b"x" * 10, "a.json": b"{}", "bad-1.jpg": b"x" * 30, "b.jpg": b"x" * 20})
    rows = pa.table({"key": ["t-1", "t-bad", "t-2", "t-3", "t-4"], "image": [b"x"] * 5})
    pq.write_table(rows, tmp_path / "data.parquet", compression="none")
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.jpg", "bad-2.jpg", "bad 3.jpg", "b.jpg", "ü.jpg"):
        (photos / name).write_bytes(b"y" * 7)
    (photos / "empty.jpg").write_bytes(b"")
    return [tmp_path / "data.tar", tmp_path / "data.parquet", photos]


def ask(scan: Directory, output: Path | None, **asked: Any) -> Exported:
    return export(Asked(scan.url, str(output) if output else None, **{"by": "mcm", **asked}))


def test_lists_and_counts_of_a_scan_of_every_kind_of_input(tmp_path: Path, inputs: list[Path]) -> None:
    found = ask(make_scan(tmp_path, inputs), tmp_path / "out", lists=("parquet", "text"))
    kept = ["a", "b", "t-1", "t-2", "t-3", "t-4", "a.jpg", "b.jpg", "ü.jpg"]
    assert (tmp_path / "out/keep.txt").read_text().splitlines() == kept
    assert pq.read_table(tmp_path / "out/keep.parquet")["key"].to_pylist() == kept
    drop = pq.read_table(tmp_path / "out/drop.parquet")
    reasons = dict(zip(drop["key"].to_pylist(), drop["reason"].to_pylist(), strict=True))
    flagged = dict.fromkeys(["bad-1", "t-bad", "bad 3.jpg", "bad-2.jpg"], "flagged")
    assert reasons == flagged | {"empty.jpg": "empty-file"}
    table_bytes_kept = int((tmp_path / "data.parquet").stat().st_size * 0.8)
    assert found.tally.kept.records == 9
    assert abs(found.tally.kept.bytes - (30 + 21 + table_bytes_kept)) <= 2
    assert found.tally.dropped["empty-file"] == Amount(1, 0)
    assert found.described()["dropped"]["flagged"]["records"] == 4
    assert json.loads((tmp_path / "out/export.json").read_text())["summary"] == found.described()


def test_a_dry_run_counts_by_shard_and_writes_nothing(tmp_path: Path, inputs: list[Path]) -> None:
    scan = make_scan(tmp_path, inputs)
    found = ask(scan, tmp_path / "out", shards=True, dry_run=True)
    assert not (tmp_path / "out").exists()
    assert [{reason: amount.records for reason, amount in one.items()} for one in found.tally.by_shard.values()] == [
        {"flagged": 1, "kept": 2},
        {"flagged": 1, "kept": 3},
        {"kept": 1},
        {"flagged": 2, "kept": 2},
        {"empty-file": 1, "kept": 1},
    ]
    assert found.described()["shards"] == 5
    assert ask(scan, None, dry_run=True).described() == found.described()


def test_a_score_decides_in_place_of_flags(tmp_path: Path, inputs: list[Path]) -> None:
    scan = make_scan(tmp_path, inputs, flags=False)
    assert ask(scan, tmp_path / "one", below=0.3).tally.dropped["flagged"].records == 4
    assert "flagged" not in ask(scan, tmp_path / "two", below=0.2).tally.dropped
    assert ask(scan, tmp_path / "three", by="max-cos", below=0.0).tally.dropped["flagged"].records == 13


def test_fiftyone_gets_every_image_file_with_its_tags_and_scores(tmp_path: Path, inputs: list[Path]) -> None:
    found = ask(make_scan(tmp_path, inputs), tmp_path / "out", fiftyone=True)
    dataset = json.loads((tmp_path / "out/fiftyone.json").read_text())
    samples = {sample["key"]: sample for sample in dataset["samples"]}
    assert "fiftyone.json" in found.files
    assert list(samples) == ["a.jpg", "b.jpg", "bad 3.jpg", "bad-2.jpg", "empty.jpg", "ü.jpg"]
    assert all(Path(sample["filepath"]).read_bytes() is not None for sample in samples.values())
    assert samples["a.jpg"]["tags"] == ["keep"]
    assert samples["bad-2.jpg"]["tags"] == ["drop", "flagged"]
    assert samples["empty.jpg"]["tags"] == ["drop", "empty-file"]
    assert samples["empty.jpg"]["score_mcm"] is None and samples["empty.jpg"]["id_label"] is None
    assert (samples["a.jpg"]["score_mcm"], samples["a.jpg"]["score_max_cos"]) == (0.75, -0.25)
    assert samples["a.jpg"]["id_label"] == {"_cls": "Classification", "label": "cat", "confidence": 0.5}
    assert samples["a.jpg"].keys() - {"filepath", "tags"} == dataset["sample_fields"].keys()


def test_label_studio_gets_the_flagged_image_files_with_a_prediction(tmp_path: Path, inputs: list[Path]) -> None:
    ask(make_scan(tmp_path, inputs), tmp_path / "out", label_studio=True)
    tasks = json.loads((tmp_path / "out/label-studio.json").read_text())
    assert [task["data"]["key"] for task in tasks] == ["bad 3.jpg", "bad-2.jpg"]
    assert tasks[0]["data"]["image"] == f"/data/local-files/?d={str(tmp_path)[1:]}/photos/bad%203.jpg"
    (prediction,) = tasks[0]["predictions"]
    assert (prediction["score"], prediction["model_version"]) == (0.25, "oodscan mcm")
    (result,) = prediction["result"]
    config = (tmp_path / "out/label-studio.xml").read_text()
    assert f'name="{result["from_name"]}" toName="{result["to_name"]}"' in config
    assert f'<Choice value="{result["value"]["choices"][0]}"/>' in config


def test_urls_of_a_storage_are_label_studios_own() -> None:
    assert image_url("s3://bucket/a b.jpg") == "s3://bucket/a b.jpg"
    assert image_url("https://host/a.jpg") == "https://host/a.jpg"
    assert image_url("file:///data/a.jpg") == "/data/local-files/?d=data/a.jpg"


def test_files_for_programs_of_no_image_files_are_a_mistake_and_of_some_they_are_said(
    tmp_path: Path, inputs: list[Path]
) -> None:
    said: list[str] = []
    asked = Asked(make_scan(tmp_path, inputs).url, str(tmp_path / "out"), "mcm", fiftyone=True)
    export(asked, say=said.append)
    assert said == [
        "8 records in tars and tables are not in fiftyone.json, which takes files of their own; see --shards"
    ]
    for option in ("fiftyone", "label_studio"):
        with pytest.raises(CallerError, match="needs images that are files of their own"):
            ask(make_scan(tmp_path, inputs[:2]), tmp_path / "out", **{option: True})


def test_no_json_holds_what_json_does_not_know(tmp_path: Path, inputs: list[Path]) -> None:
    scan = make_scan(tmp_path, inputs, lambda _: -np.inf)
    ask(scan, tmp_path / "out", fiftyone=True, label_studio=True)
    for name in ("fiftyone.json", "label-studio.json"):
        assert "Infinity" not in (tmp_path / "out" / name).read_text()


def mistakes(scan: str, root: str) -> Mapping[str, tuple[Asked, str]]:
    out = f"{root}/out"
    return {
        "lists": (Asked(scan, out, lists=("csv",)), "--lists 'csv' is unknown; the lists are parquet, text, datacomp"),
        "output": (Asked(scan, by="mcm"), "--output is missing"),
        "scan": (Asked(f"{root}/photos", out), "is not a scan directory"),
        "by": (Asked(scan, out, by="neglabel"), "--by 'neglabel': the scan has scores by max-cos, mcm"),
        "flags": (Asked(scan, out), "--by max-cos: the scan has no flags by it; with --below"),
        "itself": (Asked(scan, f"{scan}/", by="mcm"), "is SCAN itself"),
        "input": (Asked(scan, root, by="mcm"), "and the input are in one folder"),
        "unwritable": (Asked(scan, f"{root}/data.tar/out", by="mcm"), "--output"),
        "secret": (Asked(scan, "s3://user:hunter2@bucket/out", by="mcm"), "holds a password"),
    }


@pytest.mark.parametrize("name", mistakes("", ""))
def test_a_mistake_is_named_before_any_work(tmp_path: Path, inputs: list[Path], name: str) -> None:
    scan = make_scan(tmp_path, inputs)
    before = sorted(tmp_path.rglob("*"))
    asked, message = mistakes(scan.url, str(tmp_path))[name]
    with pytest.raises(CallerError, match=message) as raised:
        export(asked)
    assert "hunter2" not in str(raised.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_scan_that_has_not_ended_well_is_refused(tmp_path: Path, inputs: list[Path]) -> None:
    scan = make_scan(tmp_path, inputs)
    scan.remove("_SUCCESS")
    with pytest.raises(CallerError, match="has not ended well: it has no _SUCCESS"):
        ask(scan, tmp_path / "out")


def test_an_output_that_holds_another_export_is_refused_and_the_same_goes_on(
    tmp_path: Path, inputs: list[Path]
) -> None:
    scan = make_scan(tmp_path, inputs)
    ask(scan, tmp_path / "out")
    ask(scan, tmp_path / "out", lists=("text",))
    assert (tmp_path / "out/keep.parquet").exists()
    for other in ({"below": 0.5}, {"keep_errors": True}, {"by": "max-cos", "below": 0.5}):
        with pytest.raises(CallerError, match="holds an export of another scan, or by another choice"):
            ask(scan, tmp_path / "out", **other)
    (tmp_path / "out/export.json").write_text("[]")
    with pytest.raises(CallerError, match=r"its export\.json is damaged"):
        ask(scan, tmp_path / "out")


def test_of_a_rescoring_lists_can_be_made_and_nothing_else(tmp_path: Path) -> None:
    scan = Directory(str(tmp_path / "scan"))
    config = Rescore(embeddings=("e.parquet",), labels="bank", output=scan.url, method=("mcm",))
    identity = {"command": "rescore", "labels": "b"}
    recorded = {"identity": identity, "fingerprint": fingerprint(identity)}
    scan.put("scan.json", json.dumps({**recorded, "config": config.model_dump(mode="json")}).encode())
    shard = Shard("e-1", "embeddings", ("e.parquet",), (), (9,), "f", 0, 2, ("v",))
    scan.put("plan.parquet", Plan([shard], {}).to_parquet())
    rows = pa.table(
        {"key": ["a", "b"], "shard": ["e-1"] * 2, "index": [0, 1], "status": ["ok"] * 2, "score_mcm": [0.1, 0.9]}
    )
    scan.put("scores/part-e-1.parquet", table_bytes(rows, {FINGERPRINT_KEY: fingerprint(identity)}))
    scan.put("_SUCCESS", b"")
    found = ask(scan, tmp_path / "out", below=0.5, lists=("text", "parquet"))
    assert (tmp_path / "out/keep.txt").read_text() == "b\n"
    assert found.tally.kept == Amount(1, 0)
    for option in ("shards", "fiftyone", "label_studio"):
        with pytest.raises(CallerError, match="is of embeddings, without images; lists can be made"):
            ask(scan, tmp_path / "out", below=0.5, **{option: True})
