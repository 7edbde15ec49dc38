"""A file of one directory is put into another, whichever storages the two lie in."""

import itertools
from pathlib import Path

import pytest

from pipelines.errors import WriteError
from pipelines.storage import Directory
from tests.conftest import Storage

NAME, CONTENT = "scores/part-0.parquet", bytes(range(256)) * 2000
PAIRS = list(itertools.product(["local", "memory"], repeat=2))


@pytest.fixture
def directories(tmp_path: Path) -> dict[str, list[Directory]]:
    """Two directories of each kind."""
    return {
        "local": [Directory(str(tmp_path / name)) for name in ("one", "two")],
        "memory": [Directory(f"memory://{tmp_path}/{name}") for name in ("one", "two")],
    }


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_copy_is_the_same_file_and_replaces_what_was_there(
    directories: dict[str, list[Directory]], source: str, target: str
) -> None:
    one, other = directories[source][0], directories[target][1]
    one.put(NAME, CONTENT)
    for _ in range(2):
        other.take(NAME, one)
        assert other.read(NAME) == one.read(NAME) == CONTENT
        assert other.names("scores") == ["part-0.parquet"]
        other.put(NAME, b"another")


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_file_that_is_not_there_is_not_found(
    directories: dict[str, list[Directory]], source: str, target: str
) -> None:
    other = directories[target][1]
    with pytest.raises(FileNotFoundError):
        other.take(NAME, directories[source][0])
    assert not other.exists(NAME)


def test_where_nothing_can_be_written_the_directory_is_named(tmp_path: Path) -> None:
    one = Directory(str(tmp_path))
    one.put("file", b"")
    with pytest.raises(WriteError, match=f"^'{tmp_path}/file' cannot be written to"):
        Directory(f"{tmp_path}/file").take("file", one)


@pytest.mark.parametrize("storage", ["moto", "ceph"], indirect=True)
def test_a_storage_copies_its_own_files(storage: Storage, tmp_path: Path) -> None:
    one, other = (Directory(f"{storage.root}/{name}", storage.options) for name in ("one", "two"))
    one.put(NAME, CONTENT)
    assert other.names("scores") == []
    other.take(NAME, one)
    assert other.read(NAME) == CONTENT
    assert other.names("scores") == ["part-0.parquet"]
    with pytest.raises(FileNotFoundError):
        other.take("scores/part-1.parquet", one)


@pytest.mark.parametrize("storage", ["moto"], indirect=True)
def test_a_file_goes_from_a_disk_to_a_storage_and_back(storage: Storage, tmp_path: Path) -> None:
    there = Directory(storage.root, storage.options)
    here, back = (Directory(f"{tmp_path}/{name}") for name in ("here", "back"))
    here.put(NAME, CONTENT)
    there.take(NAME, here)
    back.take(NAME, there)
    assert there.read(NAME) == back.read(NAME) == CONTENT
