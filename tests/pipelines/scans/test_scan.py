"""The scan, end to end on Ray, on every kind of storage."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from pyarrow import compute

from ood_core.decoding import Decoder
from ood_core.encoders import ClipEncoder
from ood_core.labels import LabelBank
from ood_core.methods import of_images, score_column
from ood_core.scores import ImageScorer
from pipelines.config.pools import EncodePool
from pipelines.config.scan import Read, Scan
from pipelines.errors import CallerError
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.locate import read_again
from pipelines.inputs.plan import read_plan
from pipelines.inputs.records import records
from pipelines.scan_directory.gallery import steps_of
from pipelines.scans.make_gallery import GalleryRows
from pipelines.scans.scan import scan
from pipelines.scans.workers.decode import decode
from pipelines.storage import Directory
from pipelines.verify.verify import verify
from tests.conftest import DEMO, Storage, encoded, picture, settled_dtype
from tests.pipelines.in_plan_order import parts, score_rows, score_tables

ONE_WORKER = EncodePool(workers=1)
BAD = {"empty-file": 1, "missing-image": 1, "truncated-image": 1, "unreadable-image": 1}


def config(inputs: list[str], bank: Path | str, output: str, **changes: Any) -> Scan:
    settled = {"max_bad_fraction": 0.05, "read": Read(images_per_shard=12), "encode": ONE_WORKER, **changes}
    return Scan(input=tuple(inputs), labels=str(bank), output=output, **settled)


def scanned(chosen: Scan, options: dict[str, str] | None = None) -> dict[str, Any]:
    return scan(chosen, options or {})


def score_files(output: str, options: dict[str, str] | None = None) -> dict[str, bytes]:
    directory = Directory(output, options or {})
    return {name: directory.read(f"scores/{name}") for name in directory.names("scores")}


@pytest.fixture(scope="module")
def reference(dataset: Path, bank_directory: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted scan on local disk, with embeddings."""
    output = tmp_path_factory.mktemp("reference") / "scan"
    scanned(config([str(dataset)], bank_directory, str(output), embeddings=True))
    return output


def rows_by_plain_functions(chosen: Scan) -> list[dict[str, Any]]:
    """What the scan should find: read, decode, encode and score, one image after the other in this process."""
    encoder = ClipEncoder.load(f"local-dir:{DEMO / 'model'}", dtype=settled_dtype("bundled"))
    bank = LabelBank.load(Path(chosen.labels))
    score = ImageScorer(bank, of_images(chosen.methods()))
    rows = []
    for shard in plan_images(chosen.input, chosen.read, {}).shards:
        for index, record in enumerate(records(shard, chosen.read, {})):
            decoded = decode(record, Decoder(encoder.preprocessing))
            row = {"shard": shard.id, "index": index, "key": record.key, "status": decoded.status}
            if decoded.pixels is not None:
                pixels = torch.tensor(decoded.pixels)[None]
                found = score(encoder.encode_images(pixels))
                row |= {score_column(name): values[0] for name, values in found.scores.items()}
                row["id_label"] = bank.texts[found.id_label[0]]
            rows.append(row)
    return rows


def test_a_distributed_scan_finds_what_the_plain_functions_find(
    reference: Path, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    found = score_rows(reference)
    expected = rows_by_plain_functions(config([str(dataset)], bank_directory, str(tmp_path)))
    columns = list(max(expected, key=len))
    assert found.select(columns).to_pylist() == [{**dict.fromkeys(columns), **row} for row in expected]


def test_every_record_has_a_row_in_input_order_and_bad_ones_say_why(reference: Path) -> None:
    summary = json.loads((reference / "summary.json").read_text())
    assert summary["records"] == 130
    assert summary["statuses"] == {**BAD, "ok": 126}
    table = pq.read_table(reference / "scores" / parts(reference)[4])
    assert table["key"].to_pylist() == [f"folder/{index:02d}.webp" for index in range(12)]
    assert table["status"].to_pylist()[3] == "empty-file"
    assert table["score_neglabel"].to_pylist()[3] is None
    assert table["error"].to_pylist()[7].startswith("text, not a picture of the formats JPEG, ")


def test_the_score_table_keeps_its_contract(reference: Path) -> None:
    schema = pq.read_schema(reference / "scores" / parts(reference)[0])
    assert schema.names == [
        "shard", "index", "key", "status", "error", "width", "height",
        "id_label", "id_probability", "negative_label", "score_neglabel", "score_max_cos",
        "is_ood_neglabel", "is_ood_max_cos", "url", "offset", "length", "row",
    ]  # fmt: skip
    assert schema.field("score_neglabel").type == pa.float64()
    assert len(schema.metadata[b"oodscan.fingerprint"]) == 64


def test_an_image_can_be_read_again_from_where_its_row_says(reference: Path, dataset: Path) -> None:
    rows = [row for table in score_tables(reference) for row in table.to_pylist()]

    def again(row: dict[str, Any]) -> bytes:
        return read_again(row["url"], row["offset"], row["length"], row["row"], Read(), {})

    found = {row["key"]: again(row) for row in rows if row["status"] == "ok"}
    assert found["folder/00.webp"] == (dataset / "folder/00.webp").read_bytes()
    assert found["1-017"] == encoded(picture(117))
    assert found["row-9"] == encoded(picture(309), "JPEG")
    assert [row["key"] for row in rows if not row["url"]] == []


def test_the_gallery_shows_the_lowest_the_highest_and_some_between(reference: Path) -> None:
    gallery = pq.read_table(reference / "gallery.parquet")
    rows = [row for table in score_tables(reference) for row in table.to_pylist() if row["status"] == "ok"]
    for method in ("neglabel", "max-cos"):
        scores = sorted(row[score_column(method)] for row in rows)
        for kind, expected in {"lowest": scores[:24], "highest": scores[::-1][:24]}.items():
            shown = gallery.filter((compute.field("method") == method) & (compute.field("kind") == kind))
            assert shown["rank"].to_pylist() == list(range(24))
            assert shown[score_column(method)].to_pylist() == expected
    between = gallery.filter((compute.field("method") == "neglabel") & (compute.field("kind") == "spread"))
    assert set(map(int, steps_of(between["score_neglabel"].to_numpy()))) == {
        int(step) for step in steps_of(np.array([row["score_neglabel"] for row in rows]))
    }
    by_place = {(row["shard"], row["index"]): row for row in rows}
    for row in gallery.to_pylist():
        assert {name: row[name] for name in rows[0]} == by_place[row["shard"], row["index"]]
        shown = Image.open(io.BytesIO(row["thumbnail"]))
        assert max(shown.size) == min(128, max(row["width"], row["height"]))


def test_a_gallery_that_is_missing_is_made_again(
    reference: Path, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    output = shutil.copytree(reference, tmp_path / "scan")
    before = (output / "gallery.parquet").read_bytes()
    (output / "gallery.parquet").unlink()
    scanned(config([str(dataset)], bank_directory, str(output), embeddings=True))
    assert (output / "gallery.parquet").read_bytes() == before


def test_the_gallery_does_without_pictures_that_are_gone_or_replaced(
    reference: Path, dataset: Path, tmp_path: Path
) -> None:
    make = GalleryRows(Directory(str(reference)), Read(), {})
    shards = {shard.id: shard for shard in read_plan((reference / "plan.parquet").read_bytes())}
    (name,) = (name for name in shards if name.startswith("shard-1-"))
    places = [(name, [0, 5])]
    assert make(places, shards)["thumbnail"].null_count == 0
    tar = dataset / "shard-1.tar"
    moved = tar.rename(tmp_path / "shard-1.tar")
    try:
        assert make(places, shards)["thumbnail"].to_pylist() == [None, None]
        tar.write_bytes(moved.read_bytes())  # of the same size, but not the file that was planned
        assert make(places, shards)["thumbnail"].to_pylist() == [None, None]
    finally:
        moved.rename(tar)


def test_the_scan_directory_says_how_it_was_made_and_what_it_cost(reference: Path) -> None:
    record = json.loads((reference / "scan.json").read_text())
    assert record["identity"]["neglabel.groups"] == 100
    assert record["versions"]["ray"]
    performance = json.loads((reference / "summary.json").read_text())["last_run"]
    assert performance["limited_by"] in performance["stages"]
    assert set(performance["stages"]) == {"read", "decode", "encode", "score", "write"}
    assert (reference / "_SUCCESS").exists()


def test_embeddings_are_stored_for_every_scored_image(reference: Path, bank_directory: Path) -> None:
    table = pq.read_table(reference / "embeddings")
    values = np.stack(table["embedding"].to_numpy()).astype(np.float32)
    assert values.shape == (126, LabelBank.load(bank_directory).dim)
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, atol=1e-3)


def test_a_whole_scan_passes_verification_even_when_its_input_is_read_again(reference: Path) -> None:
    found = verify(str(reference), {}, reread=True)
    assert found.problems == []
    assert (found.shards, found.records) == (7, 130)


def test_workers_and_batches_do_not_change_a_byte(
    reference: Path, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    changes = {"encode": EncodePool(workers=2, batch_size=17, decode_threads=3)}
    scanned(config([str(dataset)], bank_directory, str(tmp_path / "scan"), embeddings=True, **changes))
    assert score_files(str(tmp_path / "scan")) == score_files(str(reference))


def test_a_rerun_scans_what_is_missing_and_nothing_else(
    reference: Path, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    output = Path(shutil.copytree(reference, tmp_path / "scan"))
    chosen = config([str(dataset)], bank_directory, str(output), embeddings=True)
    removed = [output / "scores" / part for part in parts(output)[1:3]]
    for part in removed:
        part.unlink()
    summary = scanned(chosen)
    assert summary["last_run"]["images"] == 40 + 12
    assert summary["statuses"] == {**BAD, "ok": 126}
    assert score_files(str(output)) == score_files(str(reference))


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-9], lambda _: b"", lambda content: content + b"more"],
    ids=["cut", "empty", "longer"],
)
def test_a_rerun_makes_a_table_again_that_is_not_whole(
    reference: Path, dataset: Path, bank_directory: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    output = Path(shutil.copytree(reference, tmp_path / "scan"))
    part = output / "scores" / parts(reference)[2]
    part.write_bytes(damage(part.read_bytes()))
    summary = scanned(config([str(dataset)], bank_directory, str(output), embeddings=True))
    assert summary["statuses"] == {**BAD, "ok": 126}
    assert score_files(str(output)) == score_files(str(reference))
    assert verify(str(output), {}, tables=True).problems == []


def test_a_finished_scan_is_not_begun_again(reference: Path, dataset: Path, bank_directory: Path) -> None:
    before = {
        path: path.stat().st_mtime_ns for folder in ("scores", "manifest") for path in (reference / folder).iterdir()
    }
    summary = scanned(config([str(dataset)], bank_directory, str(reference), embeddings=True))
    assert summary["last_run"] == {"images": 0}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list((reference / "manifest").iterdir())) == 1


def test_a_stricter_error_budget_takes_the_success_mark_of_a_finished_scan_away(
    reference: Path, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    output = shutil.copytree(reference, tmp_path / "scan")
    chosen = config([str(dataset)], bank_directory, str(output), embeddings=True, max_bad_fraction=0.01)
    assert not scanned(chosen)["within_error_budget"]
    assert not (output / "_SUCCESS").exists()
    assert json.loads((output / "summary.json").read_text())["last_run"]["images"] == 130
    assert verify(str(output), {}, tables=True).problems == []


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"param": {"neglabel.groups": 50}}, "neglabel.groups was 100 and is now 50"),
        ({"method": ("mcm",)}, "method was 'neglabel, max-cos' and is now 'mcm'"),
        ({"embeddings": False}, "embeddings was True and is now False"),
        ({"read": Read(images_per_shard=12, max_image_pixels=99)}, "read.max_image_pixels was 100000000 and is now 99"),
        ({"read": Read(images_per_shard=30)}, "read.images_per_shard was 12 and is now 30"),
    ],
)
def test_another_config_on_the_same_output_is_refused_by_name(
    reference: Path, dataset: Path, bank_directory: Path, changes: dict[str, Any], difference: str
) -> None:
    chosen = config([str(dataset)], bank_directory, str(reference), **{"embeddings": True, **changes})
    with pytest.raises(CallerError, match="holds another scan") as refused:
        scanned(chosen)
    assert difference in str(refused.value)


def test_the_same_scan_runs_on_local_disk_and_on_s3(
    storage: Storage, reference: Path, dataset: Path, bank_directory: Path, ray_session: None
) -> None:
    source = storage.upload(dataset, "input")
    bank = storage.upload(bank_directory, "bank")
    output = f"{storage.root}/scan"
    pools = {"encode": EncodePool(workers=1, batch_size=300, cpus=1, decode_threads=2)}
    summary = scanned(config([source], bank, output, embeddings=True, **pools), storage.options)
    assert summary["statuses"] == {**BAD, "ok": 126}
    assert verify(output, storage.options, reread=True).problems == []
    for found, expected in zip(score_tables(output, storage.options), score_tables(reference), strict=True):
        assert found.drop(["shard", "url"]).equals(expected.drop(["shard", "url"]))
    recorded = Directory(output, storage.options).read("scan.json").decode()
    assert "SKtest" not in recorded
    assert "endpoint" not in recorded


def test_a_mixed_input_with_too_many_bad_images_is_scanned_and_leaves_no_success_mark(
    dataset: Path, bank_directory: Path, tmp_path: Path, ray_session: None
) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"{dataset}/folder/00.webp\n{dataset}/folder/03.webp\n")
    inputs = [str(dataset / "shard-?.tar"), str(dataset / "table.parquet"), str(listed)]
    summary = scanned(config(inputs, bank_directory, str(tmp_path / "scan"), max_bad_fraction=0.01))
    assert summary["statuses"] == {"empty-file": 1, "missing-image": 1, "ok": 100}
    assert summary["bad_fraction"] == pytest.approx(2 / 102)
    assert not summary["within_error_budget"]
    assert not (tmp_path / "scan" / "_SUCCESS").exists()
    assert verify(str(tmp_path / "scan"), {}, tables=True).problems == []
