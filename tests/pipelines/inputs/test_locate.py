"""Every record's bytes are read again from the place that the record tells."""

import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config.scan import Read
from pipelines.errors import ReadError
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.locate import read_again
from pipelines.inputs.readers.record import Record
from pipelines.inputs.records import records
from tests.conftest import Storage
from tests.pipelines.inputs.readers.test_tar import member, tar_of, with_header

READ = Read(images_per_shard=7, max_image_bytes=1000)


def found(url: str | Path, read: Read = READ, options: dict | None = None) -> list[Record]:
    shards = plan_images([str(url)], read, options or {}).shards
    return [record for shard in shards for record in records(shard, read, options or {})]


def again(record: Record, read: Read = READ, options: dict | None = None) -> bytes:
    return read_again(record.url, record.offset, record.length, record.row, read, options or {})


@pytest.mark.parametrize("storage", ["local", "moto"], indirect=True)
def test_every_good_record_is_read_again(storage: Storage, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    images = [bytes([row]) * (10 * row) for row in range(30)]
    for name, kind in (("pax", tarfile.PAX_FORMAT), ("gnu", tarfile.GNU_FORMAT)):
        members = {f"{'x' * 150}/{row}.jpg": image for row, image in enumerate(images)}
        (data / f"{name}.tar").write_bytes(tar_of(members, kind))
    pq.write_table(pa.table({"image": images, "key": ["same"] * 30}), data / "a.parquet", row_group_size=4)
    struct = [{"bytes": image, "path": "x"} for image in images]
    pq.write_table(pa.table({"image": struct}), data / "b.parquet", row_group_size=20)
    for row in (0, 1, 2):
        (data / f"[{row}] ü.jpg").write_bytes(images[row])
    url = storage.upload(data, "uploaded")
    read = found(url, options=storage.options)
    assert [record.content for record in read] == images * 4 + images[:3]
    assert {record.status for record in read} == {"ok"}
    for record in read:
        assert again(record, options=storage.options) == record.content
        assert record.url.startswith(url) or storage.options == {}
    assert [record.row for record in read] == [*range(30), *range(30), *[None] * 63]
    assert [record.length for record in read[60:]] == [len(image) for image in images] * 2 + [None] * 3


def test_a_records_place_in_a_tar_is_that_of_its_bytes(tmp_path: Path) -> None:
    content = tar_of({"a.txt": b"text", "b.jpg": b"bytes of b", "big.jpg": b"x" * 1001, "c.jpg": b"c"})
    (tmp_path / "a.tar").write_bytes(content)
    b, big, c = found(tmp_path)
    assert {record.url for record in (b, big, c)} == {f"file://{tmp_path}/a.tar"}
    for record, wanted in ((b, b"bytes of b"), (big, b"x" * 1001), (c, b"c")):
        assert record.offset is not None and record.length == len(wanted)
        assert content[record.offset :].startswith(wanted)
    assert big.status == "too-large"
    with pytest.raises(ReadError, match="a.tar: 1001 bytes at .* are not read, 1000 are the most"):
        again(big)
    assert again(big, Read(max_image_bytes=1001)) == b"x" * 1001


def test_error_records_of_a_tar_tell_what_is_known(tmp_path: Path) -> None:
    good, link = tar_of({"a.jpg": b"1"})[:1024], with_header(member("l.jpg", tarfile.SYMTYPE, linkname="a.jpg"))
    damaged = b"\xff" * 1024
    cut = with_header(member("b.jpg", size=10**6), b"half" * 256)
    (tmp_path / "a.tar").write_bytes(good + link + damaged + good + cut)
    found_again = [(record.status, record.offset, record.length) for record in found(tmp_path)]
    assert found_again == [
        ("ok", 512, 1),
        ("unsupported-member", None, None),
        ("damaged-archive", 1536, 1024),
        ("ok", 3072, 1),
        ("truncated-archive", 4096, 1024),
    ]


def test_error_records_of_tables_and_files_tell_their_row_and_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"a", None, b"x" * 1001]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"no table")
    (tmp_path / "c.jpg").write_bytes(b"x" * 1001)
    _, null, large, damaged, file = found(tmp_path)
    assert [(record.status, record.row) for record in (null, large, damaged, file)] == [
        ("missing-image", 1), ("too-large", 2), ("damaged-archive", None), ("too-large", None),
    ]  # fmt: skip
    for record, reason in (
        (null, "a.parquet, row 1: missing-image: null"),
        (large, "a.parquet, row 2: too-large: 1001 bytes, more than 1000"),
        (damaged, "b.parquet holds many images, and it is not said where in it this one is"),
        (file, "c.jpg: too-large: 1001 bytes, more than 1000"),
    ):
        with pytest.raises(ReadError) as refused:
            again(record)
        assert str(refused.value) == f"file://{tmp_path}/{reason}"


def test_what_is_gone_or_shorter_than_before_is_a_read_error(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_of({"a.jpg": b"1", "b.jpg": b"2"}))
    pq.write_table(pa.table({"image": [b"a", b"b"]}), tmp_path / "b.parquet")
    (tmp_path / "c.jpg").write_bytes(b"c")
    first, *_, last_row, file = found(tmp_path)
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": [b"a"]}), buffer)
    (tmp_path / "b.parquet").write_bytes(buffer.getvalue())
    with pytest.raises(ReadError, match="row 1: damaged-archive: the file holds fewer rows"):
        again(last_row)
    for record, path in ((file, tmp_path / "c.jpg"), (first, tmp_path / "a.tar"), (last_row, tmp_path / "b.parquet")):
        path.unlink()
        with pytest.raises(ReadError, match="cannot be read"):
            again(record)


def test_a_place_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="-1 bytes at 5 are not read"):
        read_again(f"{tmp_path}/a.tar", 5, -1, None, READ, {})
    with pytest.raises(ReadError, match="1 bytes at -5 are not read"):
        read_again(f"{tmp_path}/a.tar", -5, 1, None, READ, {})
    with pytest.raises(ReadError, match="there is no row -1"):
        read_again(f"{tmp_path}/a.parquet", None, None, -1, READ, {})
