import hashlib
import io
import os
import re
import tracemalloc
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec import AbstractFileSystem

from pipelines.config.scan import Read
from pipelines.errors import CallerError
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.listing import kind_of
from pipelines.inputs.plan import SHARDS_AT_ONCE, Plan, Shard, blocks_of, read_plan, shard_id, shards_of, told_apart
from pipelines.inputs.records import records
from pipelines.storage import file_system
from tests.pipelines.inputs.lying_footer import claiming


def files(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def planned(*inputs: str | Path, **read) -> Plan:
    return plan_images([str(given) for given in inputs], Read(**read), {})


def keys(found: Plan) -> list[list[str]]:
    """The keys of image files, and the names of others."""
    return [list(shard.keys) or [shard.urls[0].rpartition("/")[2]] for shard in found.shards]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.tar", "tar"),
        ("A.TAR", "tar"),
        ("x/a.parquet", "parquet"),
        ("a.JPeG", "images"),
        ("a.tif", "images"),
        ("a.tar.gz", None),
        ("a.txt", None),
        ("jpg", None),
        ("x.jpg/notes", None),
    ],
)
def test_a_files_suffix_says_what_it_is(name: str, kind: str | None) -> None:
    assert kind_of(f"s3://bucket/{name}") == kind


def test_a_folder_gives_tars_and_tables_each_by_itself_and_images_in_slices(tmp_path: Path) -> None:
    files(tmp_path, "b.tar", "a.tar", "deep/er/1.jpg", "2.png", "deep/3.webp")
    found = planned(tmp_path, images_per_shard=2)
    assert [shard.kind for shard in found.shards] == ["tar", "tar", "images", "images"]
    assert keys(found) == [["a.tar"], ["b.tar"], ["2.png", "deep/3.webp"], ["deep/er/1.jpg"]]
    assert found.shards[2].sizes == (5, 11)
    assert found.shards[2].size == 16


def test_what_is_no_input_is_passed_over_and_counted_by_suffix(tmp_path: Path) -> None:
    files(tmp_path, "a.jpg", "b.md", "c.MD", "LICENSE", "d/e.csv")
    assert planned(tmp_path).passed_over == {".md": 2, "no suffix": 1, ".csv": 1}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["a.jpg", "b.jpg"]),
        ("?.jpg", ["a.jpg", "b.jpg"]),
        ("[b-z].jpg", ["b.jpg"]),
        ("**/*.jpg", ["a.jpg", "b.jpg", "one/c.jpg", "one/two/d.jpg"]),
        ("*", ["a.jpg", "b.jpg", "one/c.jpg", "one/two/d.jpg"]),
        ("o*/*.jpg", ["one/c.jpg"]),
        ("one/*", ["c.jpg", "two/d.jpg"]),
    ],
)
def test_a_pattern_gives_its_matches_and_all_below_the_folders_it_matches(
    tmp_path: Path, pattern: str, expected: list[str]
) -> None:
    files(tmp_path, "a.jpg", "b.jpg", "one/c.jpg", "one/two/d.jpg")
    assert keys(planned(tmp_path / pattern)) == [expected]


STRANGE = ["a b.jpg", "#1.jpg", "100%.jpg", "%20.jpg", "[1].jpg", "a*b.jpg", "ü猫.jpg", "~.jpg", "a;b&c.jpg", "'\".jpg"]


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_name_is_planned_and_readable_again(tmp_path: Path, name: str) -> None:
    root = files(tmp_path / "some [x] #folder", name)
    for given in (root, root / name):
        (shard,) = planned(given).shards
        assert shard.keys == (name,)
        opened, path = file_system(shard.urls[0], {})
        assert opened.cat_file(path) == name.encode()


def test_a_list_keeps_its_order_and_takes_relative_and_absolute_paths(tmp_path: Path) -> None:
    files(tmp_path, "data/b.jpg", "data/a.jpg", "other/c.png", "data/t.tar")
    lines = ["b.jpg", "", "  a.jpg  ", str(tmp_path / "other/c.png"), "a.jpg", "t.tar"]
    (tmp_path / "data/list.txt").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    found = planned(tmp_path / "data/list.txt")
    assert keys(found) == [["t.tar"], ["b.jpg", "a.jpg", str(tmp_path / "other/c.png")]]


def test_a_list_in_the_working_directory_names_files_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path, "a.jpg")
    (tmp_path / "list.txt").write_text("a.jpg\n")
    monkeypatch.chdir(tmp_path)
    assert planned("list.txt").shards[0].urls == (f"file://{tmp_path}/a.jpg",)


def test_a_list_over_two_file_systems_gives_slices_of_one_each(tmp_path: Path) -> None:
    files(tmp_path, "a.jpg", "b.jpg")
    fsspec.filesystem("memory").pipe_file("/mixed/c.jpg", b"c")
    (tmp_path / "list.txt").write_text("a.jpg\nmemory://mixed/c.jpg\nb.jpg")
    assert keys(planned(tmp_path / "list.txt")) == [["a.jpg"], ["memory://mixed/c.jpg"], ["b.jpg"]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"notes.md", "line 2: 'notes.md' is not a .tar, .parquet or image file"),
        (b"folder.jpg", "line 2: 'folder.jpg' is not a file"),
        (b"\xff.jpg", "is not UTF-8 text: invalid start byte at byte 6"),
    ],
)
def test_a_wrong_line_of_a_list_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    files(tmp_path, "a.jpg", "notes.md", "folder.jpg/x.jpg")
    (tmp_path / "list.txt").write_bytes(b"a.jpg\n" + line + b"\n")
    with pytest.raises(CallerError) as raised:
        planned(tmp_path / "list.txt")
    assert str(raised.value) in (
        f"--input '{tmp_path}/list.txt', {message}",
        f"--input '{tmp_path}/list.txt' {message}",
    )


def test_all_wrong_lines_of_a_list_are_named_at_once(tmp_path: Path) -> None:
    files(tmp_path, "a.jpg", "folder.jpg/x.jpg")
    lines = ["a.jpg", *[f"{number}.md" for number in range(12)], "folder.jpg"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    with pytest.raises(CallerError) as raised:
        planned(tmp_path / "list.txt")
    told = str(raised.value)
    assert [f"line {number}: '{number - 2}.md'" in told for number in range(2, 14)] == [True] * 10 + [False] * 2
    assert told.endswith("; and 3 more")


def test_a_listed_file_that_is_gone_is_a_row_that_says_so(tmp_path: Path) -> None:
    files(tmp_path, "a.jpg")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "list.txt").write_text("a.jpg\ngone.jpg\nempty.jpg")
    (shard,) = planned(tmp_path / "list.txt").shards
    found = list(records(shard, Read(), {}))
    assert [(record.key, record.status) for record in found] == [
        ("a.jpg", "ok"), ("gone.jpg", "unreadable-file"), ("empty.jpg", "ok"),
    ]  # fmt: skip


def test_links_are_followed_once_and_what_is_not_read_is_counted(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    files(root, "own.jpg", "z/real.jpg")
    files(elsewhere, "0.jpg", "deep/1.jpg")
    (root / "linked.jpg").symlink_to("../elsewhere/0.jpg")
    (root / "folder").symlink_to(elsewhere, target_is_directory=True)
    (root / "again").symlink_to(elsewhere / "deep", target_is_directory=True)
    (root / "to_z").symlink_to("z", target_is_directory=True)
    (root / "itself").symlink_to(".", target_is_directory=True)
    (elsewhere / "loop").symlink_to(root, target_is_directory=True)
    (root / "gone.jpg").symlink_to("nowhere.jpg")
    (root / "round.jpg").symlink_to("round.jpg")
    os.mkfifo(root / "pipe.jpg")
    found = planned(root)
    assert keys(found) == [["again/1.jpg", "folder/0.jpg", "linked.jpg", "own.jpg", "z/real.jpg"]]
    assert found.passed_over == {
        "broken links": 2, "special files": 1, "links to folders that are read already": 4,
    }  # fmt: skip
    contents = [record.content for record in records(found.shards[0], Read(), {})]
    assert contents == [b"deep/1.jpg", b"0.jpg", b"0.jpg", b"own.jpg", b"z/real.jpg"]


@pytest.mark.parametrize("pattern", ["*", "**", "**/*.jpg", "f*/*.jpg", "f*"])
def test_patterns_follow_links(tmp_path: Path, pattern: str) -> None:
    files(tmp_path / "real", "0.jpg")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/folder").symlink_to("../real", target_is_directory=True)
    assert [Path(key).name for key in keys(planned(tmp_path / "in" / pattern))[0]] == ["0.jpg"]


def test_a_linked_file_changes_the_fingerprint_when_its_target_does(tmp_path: Path) -> None:
    files(tmp_path, "real/a.jpg")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/b.jpg").symlink_to("../real/a.jpg")
    before = planned(tmp_path / "in").fingerprint
    os.utime(tmp_path / "real/a.jpg", (1, 1))
    assert planned(tmp_path / "in").fingerprint != before


def test_hidden_files_and_folders_are_counted_but_not_a_cameras_pictures(tmp_path: Path) -> None:
    files(
        tmp_path,
        "a.jpg",
        "_DSC1.JPG",
        ".b.jpg",
        "_temporary/0/c.jpg",
        "x/.cache/d.jpg",
        "_e.tar",
        "_SUCCESS",
        "._a.jpg",
    )
    found = planned(tmp_path)
    assert keys(found) == [["_DSC1.JPG", "a.jpg"]]
    assert found.passed_over == {"hidden": 6}
    assert keys(planned(tmp_path / "_temporary" / "*"))[0] == ["0/c.jpg"], "named by the caller"
    assert keys(planned(tmp_path / "_e.tar")) == [["_e.tar"]]


def test_a_scan_directory_below_the_input_is_passed_over(tmp_path: Path) -> None:
    files(tmp_path, "a.jpg", "out/scan.json", "out/plan.parquet", "out/scores/part-0.parquet", "other/scan.json")
    found = planned(tmp_path)
    assert keys(found) == [["a.jpg"]]
    assert found.passed_over == {"in scan directories": 3, ".json": 1}


@pytest.mark.parametrize("name", ["a::b.jpg", "zip::b.jpg", "::.jpg", "a?versionId=b.jpg", "{0,1}.jpg", "{1..3}.jpg"])
def test_a_name_is_not_a_url(tmp_path: Path, name: str) -> None:
    """On a local disk; s3fs reads another object than `?versionId=` stands for."""
    files(tmp_path, name)
    if "?" in name:
        assert planned(files(tmp_path, "c.jpg")).passed_over == {"names with ?versionId=": 1}
        return
    for given in (tmp_path, tmp_path / name):
        (shard,) = planned(given).shards
        assert [record.content for record in records(shard, Read(), {})] == [name.encode()]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("{08..11}.jpg", ["08.jpg", "09.jpg", "10.jpg", "11.jpg"]),
        ("{11..8}.jpg", ["11.jpg", "10.jpg", "9.jpg", "8.jpg"]),
        ("{b,a}/{1..2}.jpg", ["1.jpg", "2.jpg", "1.jpg", "2.jpg"]),
        ("{a,b}/*.jpg", ["1.jpg", "2.jpg", "1.jpg", "2.jpg"]),
    ],
)
def test_braces_are_expanded(tmp_path: Path, given: str, names: list[str]) -> None:
    files(tmp_path, *[f"{number}.jpg" for number in (8, 9, 10, 11)], "08.jpg", "09.jpg")
    files(tmp_path, "a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg")
    assert keys(planned(tmp_path / given))[0] == names


def test_names_that_braces_stand_for_and_that_are_not_there_are_a_mistake(tmp_path: Path) -> None:
    files(tmp_path, "1.jpg", "4.jpg")
    with pytest.raises(CallerError, match=r"2.jpg' does not exist .*, and so do 1 others of its 4 names"):
        planned(tmp_path / "{1..4}.jpg")
    with pytest.raises(CallerError, match="it stands for more than 1000000 names"):
        planned(tmp_path / "{1..9999999999}.jpg")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gone", "does not exist or holds no files"),
        ("empty", "does not exist or holds no files"),
        ("*.bmp", "does not exist or holds no files"),
        ("text", "holds no tar, Parquet or image file"),
        ("text/a.md", "is not a .tar, .parquet, .txt (a list) or image file"),
        ("gone.txt", "does not exist or holds no files"),
        ("empty.txt", "holds no tar, Parquet or image file"),
        ("nosuch://x", "cannot be opened: Protocol not known: nosuch"),
    ],
)
def test_an_input_with_nothing_to_read_is_the_callers_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, message: str
) -> None:
    files(tmp_path, "text/a.md")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CallerError) as raised:
        planned(given)
    assert given in str(raised.value)
    assert message in str(raised.value)


def test_an_image_whose_name_is_not_utf8_is_a_row_with_the_name_escaped(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"a\xff.jpg")).write_bytes(b"a")
    found = planned(files(tmp_path, "b.jpg"))
    assert read_plan(found.to_parquet()) == found.shards
    rows = [(record.key, record.status) for record in records(found.shards[0], Read(), {})]
    assert rows == [("a\\xff.jpg", "unreadable-file"), ("b.jpg", "ok")]


def test_a_file_named_by_several_inputs_is_planned_once(tmp_path: Path) -> None:
    files(tmp_path, "a.tar", "b.tar", "c.jpg", "notes.md")
    found = planned(tmp_path / "a.tar", tmp_path, tmp_path / "*.tar", tmp_path, tmp_path / "c.jpg")
    assert keys(found) == [["a.tar"], ["b.tar"], ["c.jpg"]]
    assert found.passed_over == {".md": 1}


def ids(found: Plan) -> list[str]:
    return [shard.id for shard in found.shards]


def test_a_shards_id_is_its_name_made_plain_and_its_urls_hash() -> None:
    for name in ("x/train 01.tar", "y/train#01.tar", "ids/Katzenbilder ü/a.jpg", "ids/" + "l" * 200 + ".tar"):
        fsspec.filesystem("memory").pipe_file(f"/{name}", b"x")
    assert ids(plan_images(["memory://x", "memory://y", "memory://ids"], Read(), {})) == [
        "train_01-e28afd09",
        "train_01-59677556",
        "l" * 60 + "-9115ebd1",
        "Katzenbilder_-5e6090e8",
    ]
    assert hashlib.sha256(b"memory:///x/train 01.tar").hexdigest().startswith("e28afd09")


def test_an_id_stays_the_same_when_other_files_come_and_go(tmp_path: Path) -> None:
    files(tmp_path, "b.tar", "c.tar", "x/1.jpg")
    before = ids(planned(tmp_path))
    files(tmp_path, "a.tar", "d.tar")
    (tmp_path / "c.tar").unlink()
    after = ids(planned(tmp_path))
    assert [after[1], after[3]] == [before[0], before[2]]
    assert len({*before, *after}) == 5


def test_ids_that_would_be_equal_are_told_apart_whatever_comes_beside() -> None:
    """The two URLs were found by trying: their hashes begin alike."""
    one, other = "memory:///d/158822/a.tar", "memory:///d/35500/a.tar"
    assert shard_id("a", one) == shard_id("a", other)
    shards = [Shard(shard_id("a", url), "tar", [url], ["a.tar"], [1], "") for url in (one, other, "memory:///b/a.tar")]
    first, second, third = told_apart(shards)
    assert first.id != second.id
    assert re.fullmatch(r"a-[0-9a-f]{8}-[0-9a-f]{16}", first.id)
    assert third == shards[2]
    assert told_apart(shards[::-1]) == [third, second, first]


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8])
def test_slices_hold_every_image_once_in_order(tmp_path: Path, count: int) -> None:
    files(tmp_path, *[f"{number}.jpg" for number in range(count)])
    found = planned(tmp_path, images_per_shard=4)
    assert [len(shard.keys) for shard in found.shards] == {1: [1], 3: [3], 4: [4], 5: [4, 1], 8: [4, 4]}[count]
    assert [key for of_shard in keys(found) for key in of_shard] == [f"{number}.jpg" for number in range(count)]


def test_the_fingerprint_stays_until_a_file_changes(tmp_path: Path) -> None:
    files(tmp_path, "a.jpg", "b.jpg")
    before = planned(tmp_path).fingerprint
    assert planned(tmp_path).fingerprint == before
    os.utime(tmp_path / "a.jpg", (1, 1))
    touched = planned(tmp_path).fingerprint
    (tmp_path / "b.jpg").write_bytes(b"more than before")
    assert len({before, touched, planned(tmp_path).fingerprint}) == 3


def test_a_file_of_the_same_size_rewritten_in_memory_changes_the_fingerprint() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/changing/a.jpg", b"one")
    before = plan_images(["memory://changing"], Read(), {}).fingerprint
    memory.pipe_file("/changing/a.jpg", b"two")
    assert plan_images(["memory://changing"], Read(), {}).fingerprint != before


def test_a_plan_survives_its_parquet_file(tmp_path: Path) -> None:
    found = planned(files(tmp_path, "ü b.jpg", "a.tar", "c.png"))
    assert read_plan(found.to_parquet()) == found.shards
    assert Plan(read_plan(found.to_parquet()), {}).fingerprint == found.fingerprint


def a_plan_of_every_kind(root: Path) -> Plan:
    image_table(root / "t.parquet", 30, 4)
    return planned(files(root, "ü b.jpg", "a.tar", "c.png", "b.tar"), images_per_shard=10)


def test_a_plan_of_cut_tables_survives_its_parquet_file(tmp_path: Path) -> None:
    found = a_plan_of_every_kind(tmp_path)
    assert read_plan(found.to_parquet()) == found.shards
    assert found.size == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_a_flipped_bit_in_a_plan_is_noticed(tmp_path: Path) -> None:
    content = bytearray(a_plan_of_every_kind(tmp_path).to_parquet())
    chunk = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0).column(5)
    content[(chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size // 2] ^= 1
    with pytest.raises((pa.ArrowException, OSError)):
        read_plan(bytes(content))


def test_shards_come_back_from_the_blocks_of_their_groups(tmp_path: Path) -> None:
    shards = a_plan_of_every_kind(tmp_path).shards
    groups = [shards[:1], [], shards[1:4], shards[4:][::-1]]
    assert [shards_of(block) for block in blocks_of(groups)] == groups
    assert blocks_of([]) == []


def test_a_plan_longer_than_a_batch_survives_its_parquet_file() -> None:
    shards = [Shard(f"s-{row}", "tar", (f"m://{row}",), (), (row,), "f", row) for row in range(SHARDS_AT_ONCE + 3)]
    assert read_plan(Plan(shards, {}).to_parquet()) == shards


class Many(AbstractFileSystem):
    """A listing of many tars; there is nothing in them."""

    protocol = "many"
    count = 5000

    def isdir(self, path) -> bool:
        return bool(path)

    def find(self, path, maxdepth=None, withdirs=False, **_) -> dict[str, dict[str, Any]]:
        assert (maxdepth, withdirs) == (None, False)
        names = [f"{path}/some-dataset/{number % 7}/shard-{number:08d}.tar" for number in range(self.count)]
        return {name: {"name": name, "type": "file", "size": len(name), "ETag": f'"{name[-30:]}"'} for name in names}


def test_a_shard_of_a_large_plan_takes_little_memory() -> None:
    fsspec.register_implementation("many", Many, clobber=True)
    tracemalloc.start()
    try:
        found = plan_images(["many://bucket"], Read(), {})
        planned_bytes, most_bytes = tracemalloc.get_traced_memory()
        content = found.to_parquet()
        again = read_plan(content)
        both_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert again == found.shards
    assert len(set(ids(found))) == Many.count
    assert planned_bytes < 700 * Many.count
    assert both_bytes - len(content) < 1400 * Many.count
    assert most_bytes < 1400 * Many.count
    assert len(content) < 60 * Many.count


def test_files_in_memory_are_planned_like_files_on_disk() -> None:
    memory = fsspec.filesystem("memory")
    for name in ("t.tar", "sub/a.jpg", "b.jpg"):
        memory.pipe_file(f"/planned/{name}", b"x")
    found = plan_images(["memory://planned"], Read(), {})
    assert keys(found) == [["t.tar"], ["b.jpg", "sub/a.jpg"]]
    assert found.shards[0].urls == ("memory:///planned/t.tar",)
    assert keys(plan_images(["memory://planned/*.jpg"], Read(), {})) == [["b.jpg"]]


def table(path: Path, **columns) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    path.write_bytes(buffer.getvalue())


def test_a_table_without_images_is_refused_where_there_is_nothing_else(tmp_path: Path) -> None:
    table(tmp_path / "b.parquet", picture=[b""], name=["n"])
    table(tmp_path / "c.parquet", caption=["n"])
    with pytest.raises(CallerError, match="b.parquet': no image column .* among picture, name; name them with"):
        planned(tmp_path)
    with pytest.raises(CallerError, match="no key column 'nme' among picture, name"):
        planned(tmp_path, image_column="picture", key_column="nme")
    found = planned(tmp_path, image_column="picture", key_column="name")
    assert (len(found.shards), found.passed_over) == (1, {".parquet without a column of images": 1})
    found = planned(files(tmp_path, "0.tar"))
    assert (keys(found), found.passed_over) == ([["0.tar"]], {".parquet without a column of images": 2})
    with pytest.raises(CallerError, match="no image column .'photo'. among picture, name"):
        planned(tmp_path, image_column="photo")


def test_a_damaged_table_is_a_matter_for_the_scan(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"damaged")
    assert len(planned(tmp_path).shards) == 1


def image_table(path: Path, rows: int, rows_per_group: int = 1000) -> None:
    pq.write_table(
        pa.table({"image": pa.array([f"{row}".encode() for row in range(rows)], pa.binary())}),
        path,
        row_group_size=rows_per_group,
    )


def ranges(found: Plan) -> list[tuple[int, int | None]]:
    return [(shard.start, shard.rows) for shard in found.shards]


def test_a_table_is_cut_where_row_groups_end(tmp_path: Path) -> None:
    image_table(tmp_path / "a.parquet", 25, 4)
    image_table(tmp_path / "b.parquet", 25, 25)
    image_table(tmp_path / "c.parquet", 9)
    image_table(tmp_path / "d.parquet", 0)
    files(tmp_path, "b.tar")
    found = planned(tmp_path, images_per_shard=10)
    assert keys(found) == [
        [f"{name}"] for name in ["a.parquet"] * 3 + ["b.parquet"] * 3 + ["b.tar", "c.parquet", "d.parquet"]
    ]
    assert ranges(found) == [
        (0, 8), (8, 8), (16, 9),
        (0, 10), (10, 10), (20, 5),
        (0, None), (0, 9), (0, 0),
    ]  # fmt: skip
    tails = [re.sub("^.-[0-9a-f]{8}", "", name) for name in ids(found)]
    assert tails == ["-00000000", "-00000008", "-00000016", *tails[3:6], "", "", ""]
    assert tails[3:6] == ["-00000000", "-00000010", "-00000020"]
    assert len({shard.fingerprint for shard in found.shards}) == len(found.shards)


@pytest.mark.parametrize("images_per_shard", [1, 2, 3, 7, 10, 24, 25, 1000])
@pytest.mark.parametrize("rows_per_group", [1, 3, 10, 25])
def test_every_record_of_a_table_is_read_once_however_it_is_cut(
    tmp_path: Path, images_per_shard: int, rows_per_group: int
) -> None:
    image_table(tmp_path / "a.parquet", 25, rows_per_group)
    read = Read(images_per_shard=images_per_shard)
    shards = plan_images([str(tmp_path)], read, {}).shards
    assert len(set(ids(Plan(shards, {})))) == len(shards)
    found = [list(records(shard, read, {})) for shard in shards]
    assert [len(of_shard) for of_shard in found] == [shard.rows for shard in shards]
    assert [(record.key, record.content) for of_shard in found for record in of_shard] == [
        (str(row), f"{row}".encode()) for row in range(25)
    ]


@pytest.mark.parametrize("images_per_shard", [3, 4, 5, 10])
def test_a_damaged_row_group_costs_its_own_rows_in_every_shard(tmp_path: Path, images_per_shard: int) -> None:
    image_table(tmp_path / "a.parquet", 20, 5)
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    chunk = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(1).column(0)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    (tmp_path / "a.parquet").write_bytes(content)
    read = Read(images_per_shard=images_per_shard)
    shards = plan_images([str(tmp_path)], read, {}).shards
    found = [record for shard in shards for record in records(shard, read, {})]
    assert [record.key for record in found] == [str(row) for row in range(20)]
    assert [row for row, record in enumerate(found) if record.status == "damaged-archive"] == list(range(5, 10))


def test_a_table_whose_footer_is_damaged_or_lies_is_one_shard_that_says_so(tmp_path: Path) -> None:
    image_table(tmp_path / "a.parquet", 1000)
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(claiming(content, 1000, 2**60))
    (tmp_path / "c.parquet").write_bytes(content[:-9])
    found = planned(tmp_path, images_per_shard=500)
    assert ranges(found) == [(0, 500), (500, 500), (0, None), (0, None)]
    for shard in found.shards[2:]:
        (record,) = records(shard, Read(), {})
        assert (record.key, record.status) == ("", "damaged-archive")


def test_a_table_of_more_rows_than_are_allowed_and_than_it_has_bits_is_one_shard_that_says_so(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": pa.nulls(50_000, pa.binary())}), tmp_path / "a.parquet")
    read = Read(images_per_shard=30_000, max_rows_per_shard=49_999)
    (shard,) = plan_images([str(tmp_path)], read, {}).shards
    (record,) = records(shard, read, {})
    assert (shard.rows, record.key, record.status) == (None, "", "damaged-archive")
    assert "50000 rows, more than 49999 (--max-rows-per-shard)" in str(record.error)
    assert ranges(planned(tmp_path, images_per_shard=30_000)) == [(0, 30_000), (30_000, 20_000)]


def test_a_table_that_is_cut_short_after_it_was_planned_loses_no_row_in_silence(tmp_path: Path) -> None:
    image_table(tmp_path / "a.parquet", 25, 5)
    shards = planned(tmp_path, images_per_shard=10).shards
    (tmp_path / "a.parquet").write_bytes(
        (tmp_path / "a.parquet").read_bytes()[: shards[0].size // 2].ljust(shards[0].size)
    )
    found = [record for shard in shards for record in records(shard, Read(), {})]
    assert [(record.key, record.status) for record in found] == [(str(row), "unreadable-file") for row in range(25)]
