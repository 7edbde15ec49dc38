from collections.abc import Sequence
from pathlib import Path

import fsspec
import pytest

from pipelines.inputs.readers.images import FILES_AT_ONCE, ImageFile, read_images
from pipelines.inputs.readers.record import Record
from tests.pipelines.flaky_files import FlakyFiles, break_every_other
from tests.pipelines.inputs.placeless import placeless

LOCAL = fsspec.filesystem("file")


def read(paths: Sequence[Path], sizes: Sequence[int] | None = None, max_bytes: int = 10**6) -> list[Record]:
    given = [path.stat().st_size for path in paths] if sizes is None else sizes
    chosen = [ImageFile("", str(path), path.name, size) for path, size in zip(paths, given, strict=True)]
    return placeless(read_images(LOCAL, chosen, max_bytes))


def written(directory: Path, contents: dict[str, bytes]) -> list[Path]:
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return [directory / name for name in contents]


def test_files_are_records_in_the_given_order(tmp_path: Path) -> None:
    contents = {f"{number * 37 % 101}.jpg": b"%d" % number for number in range(3 * FILES_AT_ONCE + 1)}
    assert read(written(tmp_path, contents)) == [Record(name, content) for name, content in contents.items()]


@pytest.mark.parametrize("name", ["[a].jpg", "a*.jpg", "a?.jpg", "a b#c%20.jpg", "ü猫.jpg", "~x.jpg", "a[!b].jpg"])
def test_a_name_is_never_taken_for_a_pattern(tmp_path: Path, name: str) -> None:
    paths = written(tmp_path, {name: b"this", "a.jpg": b"that", "ab.jpg": b"that"})
    assert read(paths)[0] == Record(name, b"this")


def test_a_file_that_is_gone_is_an_error_record_among_the_others(tmp_path: Path) -> None:
    paths = written(tmp_path, {"a.jpg": b"a", "b.jpg": b"b", "c.jpg": b"c"})
    paths[1].unlink()
    first, gone, last = read(paths, [1, 1, 1])
    assert (first, last) == (Record("a.jpg", b"a"), Record("c.jpg", b"c"))
    assert (gone.key, gone.status, gone.content) == ("b.jpg", "unreadable-file", b"")
    assert "No such file" in str(gone.error)


def test_sizes_decide_what_is_read(tmp_path: Path) -> None:
    paths = written(tmp_path, {"empty.jpg": b"", "fits.jpg": b"12345", "big.jpg": b"123456"})
    assert read(paths, max_bytes=5) == [
        Record("empty.jpg", b""),
        Record("fits.jpg", b"12345"),
        Record("big.jpg", status="too-large", error="6 bytes, more than 5"),
    ]


def test_a_file_that_may_not_be_read_is_an_error_record() -> None:
    def denied(_request: int, _answer: bytes) -> bytes:
        raise PermissionError("access denied")

    files = FlakyFiles(denied)
    files.pipe_file("/x.jpg", b"x")
    records = placeless(read_images(files, [ImageFile("", "/x.jpg", "x", 1)], 10))
    assert records == [Record("x", status="unreadable-file", error="/x.jpg cannot be read: access denied")]


def test_files_over_a_flaky_connection_are_all_there() -> None:
    files = FlakyFiles(break_every_other)
    paths = [f"/{number}.jpg" for number in range(8)]
    for path in paths:
        files.pipe_file(path, path.encode() * 9)
    records = placeless(read_images(files, [ImageFile("", path, path, 54) for path in paths], 1000))
    assert records == [Record(path, path.encode() * 9) for path in paths]


def test_no_files_are_no_records() -> None:
    assert read([]) == []
