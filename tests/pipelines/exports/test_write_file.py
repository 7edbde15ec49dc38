"""Filtered copies of whole files, made in this process."""

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config.scan import Read
from pipelines.exports.choice import Choice
from pipelines.inputs.readers.record import Record
from tests.conftest import write_tar
from tests.pipelines.exports.scored import copied, job, make_scan, planned_shards, put_scores


def names(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        return archive.getnames()


def tar(root: Path, name: str = "data.tar") -> Path:
    path = root / name
    write_tar(path, {f"{key}.{suffix}": b"x" * 600 for key in ("a", "bad", "c") for suffix in ("jpg", "json")})
    return path


def test_a_tar_is_copied_without_what_is_flagged(tmp_path: Path) -> None:
    source = tar(tmp_path)
    receipts = copied(job(make_scan(tmp_path, [source]), tmp_path / "out"), [source])
    assert names(tmp_path / "out/shards/data.tar") == ["a.jpg", "a.json", "c.jpg", "c.json"]
    receipt = receipts["data.tar"]
    size = (tmp_path / "out/shards/data.tar").stat().st_size
    assert (receipt.kept, receipt.bytes, receipt.damaged, receipt.problem, receipt.there) == (2, size, 0, "", False)


def test_a_copy_that_is_there_is_not_made_again_unless_what_is_kept_has_changed(tmp_path: Path) -> None:
    source = tar(tmp_path)
    scan, copy = make_scan(tmp_path, [source]), tmp_path / "out/shards/data.tar"
    asked = job(scan, tmp_path / "out")
    copied(asked, [source])
    written = copy.stat().st_mtime_ns
    assert copied(asked, [source])["data.tar"].there
    assert copy.stat().st_mtime_ns == written
    make_scan(tmp_path, [source], lambda key: 0.0 if key == "a" else 1.0)
    assert not copied(asked, [source])["data.tar"].there
    assert names(copy) == ["bad.jpg", "bad.json", "c.jpg", "c.json"]
    copy.write_bytes(copy.read_bytes()[:-1])
    assert not copied(asked, [source])["data.tar"].there
    copy.unlink()
    assert not copied(asked, [source])["data.tar"].there
    (tmp_path / "out/receipts/data.tar.json").write_text("{")
    assert not copied(asked, [source])["data.tar"].there
    assert copied(asked, [source])["data.tar"].there


def test_a_tar_that_has_changed_since_the_scan_is_refused(tmp_path: Path) -> None:
    source = tar(tmp_path)
    scan = make_scan(tmp_path, [source])
    shard = planned_shards([source])
    source.touch()
    os.utime(source, (1, 1))
    (receipt,) = copied_with(scan, tmp_path, shard.shards)
    assert "has changed since it was planned" in receipt.problem
    assert not receipt.is_mismatch
    assert not (tmp_path / "out/shards/data.tar").exists()


def copied_with(scan: Any, root: Path, shards: list[Any]) -> list[Any]:
    from pipelines.exports.output_files import output_files
    from pipelines.exports.worker import exported

    return [exported(job(scan, root / "out"), file) for file in output_files(shards)]


def test_a_tar_of_other_records_than_the_score_table_is_no_copy(tmp_path: Path) -> None:
    source = tar(tmp_path)
    scan, (shard,) = make_scan(tmp_path, [source]), planned_shards([source]).shards
    put_scores(scan, shard, [Record(key, b"x", offset=512, length=600) for key in ("a", "c", "bad")])
    (receipt,) = copied_with(scan, tmp_path, [shard])
    assert receipt.is_mismatch
    assert "record 1 is 'bad' in the tar, and 'c' in the score table" in receipt.problem
    assert list((tmp_path / "out/shards").iterdir()) == []


def test_of_a_damaged_tar_the_rest_is_copied_and_the_damage_counted(tmp_path: Path) -> None:
    source = tar(tmp_path)
    content = bytearray(source.read_bytes())
    content[0:8] = b"\xff" * 8
    source.write_bytes(content[:-1024])
    receipt = copied(job(make_scan(tmp_path, [source]), tmp_path / "out"), [source])["data.tar"]
    assert names(tmp_path / "out/shards/data.tar") == ["c.jpg", "c.json"]
    assert (receipt.kept, receipt.damaged, receipt.problem) == (1, 2, "")


def test_a_score_table_that_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    source = tar(tmp_path)
    scan = make_scan(tmp_path, [source])
    for path in (tmp_path / "scan/scores").iterdir():
        path.write_bytes(b"?")
    assert "cannot be read: scores/part-data" in copied(job(scan, tmp_path / "out"), [source])["data.tar"].problem


def test_what_is_no_tar_at_all_is_an_empty_one(tmp_path: Path) -> None:
    source = tmp_path / "data.tar"
    source.write_bytes(b"no tar" * 1000)
    receipt = copied(job(make_scan(tmp_path, [source]), tmp_path / "out"), [source])["data.tar"]
    assert names(tmp_path / "out/shards/data.tar") == []
    assert (receipt.kept, receipt.damaged, receipt.problem) == (0, 1, "")


def test_records_in_error_can_be_kept_but_for_damage(tmp_path: Path) -> None:
    source = tmp_path / "data.tar"
    write_tar(source, {"a.jpg": b"broken", "b.jpg": b"", "c.jpg": b"x" * 2000, "bad.jpg": b"x"})
    read = Read(max_image_bytes=1000, retry_s=0)
    scan = make_scan(tmp_path, [source], read=read)
    copied(job(scan, tmp_path / "strict", read=read), [source])
    copied(job(scan, tmp_path / "out", Choice("mcm", keep_errors=True), read), [source])
    assert names(tmp_path / "strict/shards/data.tar") == []
    assert names(tmp_path / "out/shards/data.tar") == ["a.jpg", "b.jpg"]


def table(root: Path, **options: Any) -> tuple[Path, pa.Table]:
    """Ten rows in row groups of four, of many types, with metadata."""
    path = root / "data.parquet"
    rows = pa.table(
        {
            "key": [f"{'bad' if row % 3 == 0 else 'row'}-{row}" for row in range(10)],
            "image": pa.array([{"bytes": b"i" * row, "path": f"{row}.jpg"} if row else None for row in range(10)]),
            "tags": pa.array([["x"] * (row % 3) for row in range(10)], pa.list_(pa.string())),
            "label": pa.array(["a", "b"] * 5).dictionary_encode(),
            "when": pa.array(range(10), pa.timestamp("us", "UTC")),
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {}}), "mine": "yes"})
    pq.write_table(rows, path, row_group_size=4, **{"compression": "gzip", **options})
    return path, rows


def test_a_table_keeps_schema_metadata_and_order(tmp_path: Path) -> None:
    source, _ = table(tmp_path)
    receipts = copied(job(make_scan(tmp_path, [source]), tmp_path / "out"), [source])
    made = pq.ParquetFile(tmp_path / "out/shards/data.parquet")
    kept = [row for row in range(10) if row % 3 and row]
    assert list(receipts) == ["data.parquet"]  # of three shards
    assert receipts["data.parquet"].kept == len(kept)
    assert made.read().equals(pq.read_table(source).take(kept), check_metadata=True)
    assert made.schema_arrow.equals(pq.read_schema(source), check_metadata=True)
    assert made.metadata.num_row_groups == 3
    assert {made.metadata.row_group(0).column(number).compression for number in range(6)} == {"GZIP"}


@pytest.mark.parametrize(
    "options", [{"use_compliant_nested_type": False}, {"store_schema": False}, {"compression": "none"}]
)
def test_a_table_stays_written_as_it_was(tmp_path: Path, options: dict[str, Any]) -> None:
    source, _ = table(tmp_path, **options)
    copied(job(make_scan(tmp_path, [source]), tmp_path / "out"), [source])
    before, made = pq.ParquetFile(source), pq.ParquetFile(tmp_path / "out/shards/data.parquet")
    assert made.schema.equals(before.schema)
    assert made.schema_arrow.equals(before.schema_arrow, check_metadata=True)
    assert (made.metadata.metadata or {}).keys() == (before.metadata.metadata or {}).keys()


def test_a_table_without_keys_numbers_its_rows_anew(tmp_path: Path) -> None:
    source = tmp_path / "data.parquet"
    pq.write_table(pa.table({"image": [b"x", b"y", b"z"]}), source)
    receipts = copied(job(make_scan(tmp_path, [source], lambda key: float(key)), tmp_path / "out"), [source])
    assert receipts["data.parquet"].problem == ""
    assert pq.read_table(tmp_path / "out/shards/data.parquet")["image"].to_pylist() == [b"y", b"z"]


def test_a_table_of_which_nothing_is_kept_has_no_rows(tmp_path: Path) -> None:
    source, _ = table(tmp_path)
    copied(job(make_scan(tmp_path, [source], lambda _: 0.0), tmp_path / "out"), [source])
    assert pq.read_table(tmp_path / "out/shards/data.parquet").equals(pq.read_table(source).slice(0, 0))


def test_a_kept_row_that_cannot_be_read_whole_is_told_of(tmp_path: Path) -> None:
    source, _ = table(tmp_path, write_page_checksum=True)
    content = bytearray(source.read_bytes())
    column = pq.read_metadata(source).row_group(1).column(5)  # when
    assert column.path_in_schema == "when"
    content[(column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size - 3] ^= 255
    source.write_bytes(content)
    (receipt,) = copied(job(make_scan(tmp_path, [source]), tmp_path / "out"), [source]).values()
    assert "a row that is kept cannot be read whole: row group 1" in receipt.problem
    assert list((tmp_path / "out/shards").iterdir()) == []


def test_a_damaged_row_group_is_left_out(tmp_path: Path) -> None:
    source, _ = table(tmp_path, write_page_checksum=True)
    content = bytearray(source.read_bytes())
    column = pq.read_metadata(source).row_group(1).column(1)  # the images' bytes
    content[(column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size - 3] ^= 255
    source.write_bytes(content)
    (receipt,) = copied(job(make_scan(tmp_path, [source]), tmp_path / "out"), [source]).values()
    assert (receipt.problem, receipt.damaged) == ("", 4)
    assert pq.read_table(tmp_path / "out/shards/data.parquet")["key"].to_pylist() == ["row-1", "row-2", "row-8"]


def test_a_table_that_nobody_can_read_has_no_copy(tmp_path: Path) -> None:
    source = tmp_path / "data.parquet"
    source.write_bytes(b"PAR1" + b"?" * 100)
    asked = job(make_scan(tmp_path, [source]), tmp_path / "out")
    for _ in range(2):
        (receipt,) = copied(asked, [source]).values()
        assert (receipt.problem, receipt.bytes, receipt.damaged) == ("", 0, 1)


def folder(root: Path) -> Path:
    place = root / "photos"
    for name in ("a.jpg", "sub/bad.png", "sub/b.png", "c.webp", "d.JPG", "d.png"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(name.encode())
    return place


def test_image_files_become_tars_one_for_each_planned_shard(tmp_path: Path) -> None:
    source = folder(tmp_path)
    receipts = copied(job(make_scan(tmp_path, [source]), tmp_path / "out"), [source])
    shards = planned_shards([source]).shards
    assert list(receipts) == [f"{shard.id}.tar" for shard in shards]
    made = [names(tmp_path / "out/shards" / name) for name in receipts]
    assert made == [["a.jpg", "c.webp", "d.JPG", "d-3.png"], ["sub/b.png"]]
    with tarfile.open(tmp_path / "out/shards" / next(iter(receipts))) as archive:
        file = archive.extractfile("c.webp")
        assert file and file.read() == b"c.webp"


def test_an_image_file_that_has_changed_since_the_scan_is_told_of(tmp_path: Path) -> None:
    source = folder(tmp_path)
    scan, shards = make_scan(tmp_path, [source]), planned_shards([source]).shards
    (source / "c.webp").write_bytes(b"another")
    first, second = copied_with(scan, tmp_path, shards)
    assert "c.webp has changed since it was planned" in first.problem
    assert second.problem == ""


def test_a_copy_says_nothing_of_when_it_was_made(tmp_path: Path) -> None:
    source = folder(tmp_path)
    scan = make_scan(tmp_path, [source])
    for name in ("first", "second"):
        copied(job(scan, tmp_path / name), [source])
    for made in (tmp_path / "first/shards").iterdir():
        assert made.read_bytes() == (tmp_path / "second/shards" / made.name).read_bytes()
