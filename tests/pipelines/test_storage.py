import threading
import zipfile
from pathlib import Path

import pytest

from pipelines.errors import CallerError, WriteError
from pipelines.storage import Directory, file_system


@pytest.fixture(params=["local", "memory"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Directory:
    return Directory(str(tmp_path / "out") if request.param == "local" else f"memory://{tmp_path}")


def test_what_is_put_can_be_read_and_replaced(directory: Directory) -> None:
    assert not directory.exists("a/b.bin")
    directory.put("a/b.bin", b"first")
    directory.put("a/b.bin", b"2")
    assert directory.exists("a/b.bin")
    assert directory.read("a/b.bin") == b"2"


def test_names_are_the_files_of_one_folder_sorted(directory: Directory) -> None:
    for name in ("scores/b", "scores/a", "scores/deeper/c", "top"):
        directory.put(name, b"")
    assert directory.names("scores") == ["a", "b"]
    assert directory.names() == ["top"]
    assert directory.names("nowhere") == []


def test_what_is_removed_is_gone_and_removing_nothing_is_no_error(directory: Directory) -> None:
    directory.put("scores/a", b"")
    directory.put("b", b"")
    directory.remove("scores")
    directory.remove("b")
    directory.remove("never there")
    assert (directory.names("scores"), directory.names()) == ([], [])


def test_what_killed_writers_have_left_on_a_disk_is_removed_and_nothing_else(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    for name in (".a.parquet.0123abcd.tmp", "a.parquet", ".a.parquet.tmp", "b.0123abcd.tmp", "below/.a.0123abcd.tmp"):
        directory.put(name, b"")
    directory.remove_unfinished()
    assert directory.names() == [".a.parquet.tmp", "a.parquet", "b.0123abcd.tmp"]
    assert directory.names("below") == [".a.0123abcd.tmp"]
    directory.remove_unfinished("below")
    assert directory.names("below") == []
    Directory("memory://nowhere").remove_unfinished()


def test_reading_what_is_not_there_is_file_not_found(directory: Directory) -> None:
    with pytest.raises(FileNotFoundError):
        directory.read("nothing")


def test_a_reader_never_sees_a_part_of_a_file(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    contents = [bytes([byte]) * 300_000 for byte in b"ab"]
    directory.put("file", contents[0])
    ended, seen = threading.Event(), set()

    def watch() -> None:
        while not ended.is_set():
            seen.add(directory.read("file"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(60):
        directory.put("file", contents[number % 2])
    ended.set()
    watcher.join()
    assert seen <= set(contents)
    assert directory.names() == ["file"]


def test_a_put_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(WriteError, match="cannot be written to: .*directory"):
        directory.put("folder", b"cannot replace a directory")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_place_that_can_be_written_to_is_left_empty(directory: Directory) -> None:
    directory.check_writable("--output")
    assert directory.names() == []


def test_a_place_that_cannot_be_written_to_is_named_with_its_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CallerError, match=f"^--output '{tmp_path}/file/out' cannot be written to: .*Not a directory"):
        Directory(f"{tmp_path}/file/out").check_writable("--output")


def test_credentials_are_never_printed() -> None:
    directory = Directory("s3://bucket/out", {"key": "AKIA", "secret": "hunter2"})
    assert repr(directory) == "Directory(url='s3://bucket/out')"


@pytest.mark.parametrize("url", ["out", "./out", "file://{}/out"])
def test_a_local_place_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.chdir(tmp_path)
    directory = Directory(url.format(tmp_path))
    assert (directory.url, directory.is_local) == (f"{tmp_path}/out", True)


def test_options_reach_remote_file_systems_only(tmp_path: Path) -> None:
    assert file_system(str(tmp_path), {"nonsense": 1})[1] == str(tmp_path)


@pytest.mark.parametrize("url", ["nosuch://x", "s4://bucket"])
def test_an_unknown_protocol_is_the_callers_mistake(url: str) -> None:
    with pytest.raises(CallerError, match=f"^'{url}' cannot be opened: Protocol not known"):
        file_system(url, {})


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter2@host/x",
        "https://hunter2@host/x",
        "s3://key:hunter2@bucket/x",
        "zip://x.jpg::https://me:hunter2@host/a.zip",
        "simplecache::https://me:hunter2@host/a.tar",
        "https://bucket.s3.amazonaws.com/a.tar?X-Amz-Credential=a&X-Amz-Signature=hunter2",
        "https://account.blob.core.windows.net/c/a.tar?sv=1&sig=hunter2",
        "https://storage.googleapis.com/b/a.tar?X-Goog-Signature=hunter2",
        "zip://x::https://host/a.zip?token=hunter2",
        "https://host/a.tar?api_key=hunter2",
        "sftp://me:hunter2@host/x",
    ],
)
def test_a_url_that_holds_credentials_is_refused_without_showing_them(url: str) -> None:
    with pytest.raises(CallerError, match="URL holds a ") as refused:
        Directory(url).exists("a")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/data/a::b.tar", "/data/a::b.tar"),
        ("file:///data/a::b.tar", "/data/a::b.tar"),
        ("s3://bucket/a::b.tar", "bucket/a::b.tar"),
    ],
)
def test_colons_in_a_name_make_no_chain(url: str, path: str) -> None:
    assert file_system(url, {})[1] == path


def test_a_chain_is_followed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/x.txt", "found")
    files, path = file_system(f"zip://in/x.txt::{tmp_path}/a.zip", {})
    assert files.cat_file(path) == b"found"
