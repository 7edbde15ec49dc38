"""A file that is replaced, cut or still written to between the plan and its last byte is noticed."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config.rescore import ReadEmbeddings
from pipelines.config.scan import Read
from pipelines.errors import ReadError
from pipelines.inputs.embedding_plan import plan_embeddings
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.plan import Plan, Shard, read_plan
from pipelines.inputs.readers.embeddings import EmbeddingRows
from pipelines.inputs.readers.record import Record
from pipelines.inputs.readers.versions import check_unchanged
from pipelines.inputs.records import records
from pipelines.inputs.stored_embeddings import StoredEmbeddings, rows_or_why
from pipelines.storage import file_system
from tests.conftest import Storage, write_tar
from tests.pipelines.flaky_files import holding

DIM, READ = 4, Read(retry_s=0)
TABLES = ReadEmbeddings(retry_s=0)
IMAGES = [b"%03d" % number * 5000 for number in range(8)]


def a_tar(root: Path) -> Path:
    write_tar(root / "a.tar", {f"{number}.jpg": image for number, image in enumerate(IMAGES)})
    return root / "a.tar"


def a_table(root: Path) -> Path:
    table = pa.table({"key": [str(number) for number in range(8)], "image": IMAGES})
    pq.write_table(table, root / "a.parquet", row_group_size=2, compression="none", use_dictionary=False)
    return root / "a.parquet"


def an_image(root: Path) -> Path:
    (root / "a.jpg").write_bytes(IMAGES[0])
    return root / "a.jpg"


def embeddings(root: Path, rows: int = 8) -> Path:
    table = pa.table({"key": [str(row) for row in range(rows)], "embedding": np.eye(DIM)[np.arange(rows) % 4].tolist()})
    pq.write_table(table, root / "a.parquet")
    return root / "a.parquet"


def clip_retrieval(root: Path) -> Path:
    for name in ("img_emb", "metadata"):
        (root / name).mkdir()
    np.save(root / "img_emb/img_emb_0.npy", np.eye(DIM, dtype=np.float32)[np.arange(8) % 4])
    keys = pa.table({"image_path": [str(row) for row in range(8)]})
    pq.write_table(keys, root / "metadata/metadata_0.parquet")
    return root


def npy(root: Path) -> Path:
    return clip_retrieval(root) / "img_emb/img_emb_0.npy"


def npy_keys(root: Path) -> Path:
    return clip_retrieval(root) / "metadata/metadata_0.parquet"


def rewrite(path: Path) -> None:
    stat = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))


def rename_over(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[::-1])
    os.utime(other, ns=(0, path.stat().st_mtime_ns - 1_000_000_000))
    other.rename(path)


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(10240))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "rewritten": (rewrite, "has changed since it was planned (of the same size, but another version)"),
    "another renamed over it": (
        rename_over,
        "has changed since it was planned (of the same size, but another version)",
    ),
    "cut": (cut, "has changed since it was planned (size "),
    "grown": (grow, "has changed since it was planned (size "),
    "gone": (Path.unlink, "cannot be read: "),
}


def read_images(found: Plan, options: dict | None = None) -> list[Record]:
    return [record for shard in found.shards for record in records(shard, READ, options or {})]


def read_tables(found: Plan, options: dict | None = None) -> list[EmbeddingRows]:
    stored = StoredEmbeddings(TABLES, DIM, options or {})
    return [rows for shard in found.shards for rows in rows_or_why(stored, shard)]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("make", "count"), [(a_tar, 1), (a_table, 8), (an_image, 1)])
def test_a_file_that_changes_before_it_is_read_gives_no_image(
    tmp_path: Path, make: Callable[[Path], Path], count: int, change: str
) -> None:
    path = make(tmp_path)
    found = plan_images([str(tmp_path)], Read(images_per_shard=4), {})
    made, reason = CHANGES[change]
    made(path)
    read = read_images(found)
    assert [record.status for record in read] == ["unreadable-file"] * count
    assert all(f"{path} {reason}" in (record.error or "") for record in read)
    assert not any(record.content for record in read)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("make", [embeddings, npy, npy_keys])
def test_a_table_that_changes_before_it_is_read_gives_no_embedding(
    tmp_path: Path, make: Callable[[Path], Path], change: str
) -> None:
    path = make(tmp_path)
    found = plan_embeddings([str(tmp_path)], ReadEmbeddings(rows_per_shard=5), DIM, {})
    made, reason = CHANGES[change]
    made(path)
    read = read_tables(found)
    assert [len(rows) for rows in read] == [5, 3] if make is not embeddings else [8]
    assert {status for rows in read for status in rows.statuses} == {"unreadable-file"}
    assert all(f"{path} {reason}" in error for rows in read for error in rows.errors)
    assert not any(rows.vectors.any() for rows in read)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("make", [a_tar, a_table])
def test_a_file_that_changes_while_it_is_read_says_so_at_its_end(
    tmp_path: Path, make: Callable[[Path], Path], change: str
) -> None:
    path = make(tmp_path)
    (shard,) = plan_images([str(tmp_path)], READ, {}).shards
    made, reason = CHANGES[change]
    reading = records(shard, READ, {})
    first = next(reading)
    made(path)
    read = [first, *reading]
    assert (first.status, first.content) == ("ok", IMAGES[0])
    assert read[-1].status == "unreadable-file"
    assert f"{path} {reason}" in str(read[-1].error)
    assert shard.rows in (None, len(read))


class _Replaced:
    """Rows of a shard whose table is replaced when some have been read."""

    dim = DIM

    def __init__(self, stored: StoredEmbeddings, change: Callable[[], object]) -> None:
        self.stored, self.change, self.count = stored, change, stored.count

    def rows(self, shard: Shard) -> Iterator[EmbeddingRows]:
        for rows in self.stored.rows(shard):
            yield rows
            self.change()


@pytest.mark.parametrize("change", CHANGES)
def test_a_table_that_changes_while_it_is_read_has_as_many_rows_as_planned(tmp_path: Path, change: str) -> None:
    path, made = embeddings(tmp_path, 10_000), CHANGES[change][0]
    (shard,) = plan_embeddings([str(path)], TABLES, DIM, {}).shards
    once = iter([made])
    replaced = _Replaced(StoredEmbeddings(TABLES, DIM, {}), lambda: next(once, lambda _: None)(path))
    read = list(rows_or_why(replaced, shard))
    assert sum(map(len, read)) == 10_000
    assert set(read[0].statuses) == {"ok"}
    assert set(read[-1].statuses) == {"unreadable-file"}


def test_a_download_that_goes_on_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    whole = a_tar(tmp_path).read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: len(whole) // 2])
    (shard,) = plan_images([str(tmp_path)], READ, {}).shards
    reading = records(shard, READ, {})
    read = [next(reading)]
    for start in range(len(whole) // 2, len(whole), 4096):
        with (tmp_path / "a.tar").open("ab") as file:
            file.write(whole[start : start + 4096])
        read += [record for record in [next(reading, None)] if record]
    read += reading
    assert read[-1].status == "unreadable-file"
    assert f"a.tar has changed since it was planned (size {len(whole) // 2} → " in str(read[-1].error)


def test_an_image_that_changes_costs_its_own_row(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(IMAGES[number])
    found = plan_images([str(tmp_path)], READ, {})
    rewrite(tmp_path / "1.jpg")
    assert [record.status for record in read_images(found)] == ["ok", "unreadable-file", "ok"]


def test_what_has_not_changed_is_read_wherever_it_lies(storage: Storage, tmp_path: Path) -> None:
    for make in (a_tar, a_table, an_image):
        make(tmp_path)
    url = storage.upload(tmp_path, "input")
    for given in (url, f"{url}/*", f"{url}/a.tar"):
        found = plan_images([given], READ, storage.options)
        assert {record.status for record in read_images(found, storage.options)} == {"ok"}
        assert all(shard.versions[0] for shard in found.shards)


def test_what_links_lead_to_is_read_and_noticed_when_it_changes(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot/a.tar").symlink_to(a_tar(tmp_path / "blobs"))
    for given in (tmp_path / "snapshot", tmp_path / "snapshot/a.tar"):
        found = plan_images([str(given)], READ, {})
        assert [record.status for record in read_images(found)] == ["ok"] * 8
        rewrite(tmp_path / "blobs/a.tar")
        assert [record.status for record in read_images(found)] == ["unreadable-file"]


def test_an_object_that_is_replaced_is_noticed_before_and_while_it_is_read(storage: Storage, tmp_path: Path) -> None:
    url = storage.upload(a_tar(tmp_path), "uploaded.tar")
    files, path = file_system(url, storage.options)
    content = files.cat_file(path)
    (shard,) = plan_images([url], READ, storage.options).shards
    reading = records(shard, READ, storage.options)
    first = next(reading)
    time.sleep(0.05)  # longer than a local file system's clock takes to tick
    files.pipe_file(path, bytes(len(content)))
    last = list(reading)[-1]
    assert (first.status, last.status) == ("ok", "unreadable-file")
    (before,) = records(shard, READ, storage.options)
    for found in (last, before):
        assert str(found.error).endswith("(of the same size, but another version)")


def test_an_image_in_object_storage_that_has_another_size_is_noticed(storage: Storage, tmp_path: Path) -> None:
    url = storage.upload(an_image(tmp_path), "uploaded.jpg")
    files, path = file_system(url, storage.options)
    for content in (IMAGES[0] + b"more", IMAGES[0][:-1]):
        files.pipe_file(path, IMAGES[0])
        found = plan_images([url], READ, storage.options)
        files.pipe_file(path, content)
        (record,) = read_images(found, storage.options)
        assert record.status == "unreadable-file"
        assert f"(size {len(IMAGES[0])} → {len(content)})" in str(record.error)


def test_a_plan_tells_the_versions_of_its_files(tmp_path: Path) -> None:
    path = a_tar(tmp_path)
    found = plan_images([str(tmp_path)], READ, {})
    assert found.shards[0].versions == (str(path.stat().st_mtime),)
    assert read_plan(found.to_parquet()) == found.shards


def test_a_plan_without_versions_is_damaged() -> None:
    shard = Shard("a", "tar", ("memory:///a.tar",), (), (1,), "")
    table = pq.read_table(pa.BufferReader(Plan([shard], {}).to_parquet())).drop_columns("versions")
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    with pytest.raises(pa.ArrowInvalid, match="no column versions"):
        read_plan(sink.getvalue().to_pybytes())


def test_of_a_file_whose_version_is_not_known_the_size_is_compared(tmp_path: Path) -> None:
    path = a_tar(tmp_path)
    (shard,) = plan_images([str(tmp_path)], READ, {}).shards
    rewrite(path)
    assert len(list(records(replace(shard, versions=()), READ, {}))) == 8
    grow(path)
    assert len(list(records(replace(shard, versions=()), READ, {}))) == 1


@pytest.mark.parametrize(
    ("planned", "now"), [('"ab"', '"ab"'), ("ab", '"ab"'), ('"ab"', 'W/"ab"'), ('W/"ab"', '"ab"'), ("", '"ab"')]
)
def test_an_etag_is_the_same_however_it_is_quoted(planned: str, now: str) -> None:
    files = fsspec.filesystem("memory")
    check_unchanged(_Tagged(files, now), "/a", 3, planned)
    with pytest.raises(ReadError, match="another version"):
        check_unchanged(_Tagged(files, now), "/a", 3, '"abc"')


class _Tagged(fsspec.AbstractFileSystem):
    """A file of three bytes with an ETag."""

    cachable = False

    def __init__(self, _files: object, tag: str) -> None:
        super().__init__()
        self.tag = tag

    def info(self, path: str, **_: object) -> dict:
        return {"name": path, "size": 3, "type": "file", "ETag": self.tag}


def test_a_question_about_a_file_is_asked_again_if_it_fails() -> None:
    files = holding(b"123", lambda _, answer: answer)
    answers = iter([ConnectionResetError("reset"), TimeoutError("late"), None])
    info = files.info

    def failing(path: str, **options: object) -> dict:
        if error := next(answers):
            raise error
        return info(path, **options)

    files.info = failing
    check_unchanged(files, "/file", 3, str(info("/file")["created"]))
    with pytest.raises(StopIteration):
        next(answers)
