import asyncio
import io
import random
import time
from pathlib import Path
from typing import NoReturn

import pytest
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ReadError
from pipelines.inputs.readers.range_file import ATTEMPTS, CHUNK_BYTES, RangeFile, fetch, open_range
from tests.pipelines.flaky_files import break_every_other, holding

CONTENT = random.Random(0).randbytes(50_000)


@given(
    st.lists(st.tuples(st.integers(0, 51_000), st.integers(0, 9000)), max_size=12),
    st.integers(0, 2**32),
    st.sampled_from([1, 100, 4096, 2**20]),
)
def test_reads_over_a_flaky_connection_give_the_files_bytes(
    reads: list[tuple[int, int]], seed: int, chunk_bytes: int
) -> None:
    draw = random.Random(seed)

    def fault(request: int, answer: bytes) -> bytes:
        """Half of the requests go wrong, never all attempts at one."""
        kind = draw.randrange(4) if request % 3 else 3
        if kind == 0:
            raise OSError("timed out")
        return answer[: draw.randrange(len(answer))] if kind == 1 else answer

    file = open_range(holding(CONTENT, fault), "/file", len(CONTENT), 0, chunk_bytes)
    for offset, count in reads:
        assert file.seek(offset) == offset
        assert file.read(count) == CONTENT[offset : offset + count]


def test_the_whole_file_comes_through_a_flaky_connection() -> None:
    files = holding(CONTENT, break_every_other)
    assert open_range(files, "/file", len(CONTENT), 0, 1000).read() == CONTENT


@pytest.mark.parametrize("whence", [io.SEEK_SET, io.SEEK_CUR, io.SEEK_END])
def test_seeking_is_as_in_any_file(whence: int) -> None:
    file, plain = open_range(holding(CONTENT, lambda _, answer: answer), "/file", 50_000), io.BytesIO(CONTENT)
    for other in (file, plain):
        other.read(7)
        other.seek(-10 if whence == io.SEEK_END else 20, whence)
    assert file.tell() == plain.tell()
    assert file.read(5) == plain.read(5)


@pytest.mark.parametrize("failures", range(ATTEMPTS))
def test_a_request_is_repeated_until_it_succeeds(failures: int) -> None:
    def fault(request: int, answer: bytes) -> bytes:
        if request <= failures:
            raise TimeoutError
        return answer

    files = holding(CONTENT, fault)
    assert fetch(files, "/file", 10, 20, first_wait_s=0) == CONTENT[10:30]
    assert files.requests == failures + 1


def test_after_the_last_attempt_the_error_says_what_went_wrong() -> None:
    files = holding(CONTENT, lambda _, answer: answer[:-1])
    with pytest.raises(ReadError, match="^/file cannot be read, attempt after attempt: 19 of 20 bytes at 10 came$"):
        fetch(files, "/file", 10, 20, first_wait_s=0)
    assert files.requests == 6


class StatusError(Exception):
    """An error of a file system over HTTP."""

    def __init__(self, status: int) -> None:
        super().__init__("no")
        self.status = status


@pytest.mark.parametrize(
    "error", [FileNotFoundError("no"), PermissionError("no"), StatusError(403), StatusError(410)], ids=str
)
def test_what_waiting_cannot_mend_is_not_repeated(error: Exception) -> None:
    def fault(_request: int, _answer: bytes) -> NoReturn:
        raise error

    files = holding(CONTENT, fault)
    with pytest.raises(ReadError, match="^/file cannot be read: no$"):
        fetch(files, "/file", 0, 1)
    assert files.requests == 1


def test_a_file_that_has_become_shorter_than_planned_is_a_read_error() -> None:
    file = open_range(holding(CONTENT, lambda _, answer: answer), "/file", 60_000, 0)
    with pytest.raises(ReadError, match="attempt after attempt: 848 of 8192 bytes at 49152 came"):
        file.read()


def test_of_a_large_piece_only_the_part_that_broke_is_fetched_again() -> None:
    content = random.Random(1).randbytes(100_000) * (2 * CHUNK_BYTES // 100_000 + 1)
    came: list[int] = []

    def break_the_second(request: int, answer: bytes) -> bytes:
        came.append(len(answer))
        if request == 2:
            raise ConnectionResetError
        return answer

    file = RangeFile(holding(content, break_the_second), "/file", len(content), 0)
    assert file.read(len(content)) == content
    assert came == [CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES, len(content) - 2 * CHUNK_BYTES]
    assert (file.tell(), file.read(1)) == (len(content), b"")


def test_a_remote_file_is_tried_again_for_as_long_as_is_said_and_a_local_one_a_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        waited.append(seconds)

    def fault(_request: int, _answer: bytes) -> NoReturn:
        raise StatusError(503)

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with pytest.raises(ReadError):
        fetch(holding(CONTENT, fault), "/file", 0, 1, retry_s=100)
    assert waited == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, *[15.0] * 4]
    waited.clear()
    (tmp_path / "short").write_bytes(b"1")
    with pytest.raises(ReadError):
        fetch(LocalFileSystem(), str(tmp_path / "short"), 0, 2, retry_s=100)
    assert waited == [0.2, 0.4, 0.8, 1.6, 3.2]


def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_is_said() -> None:
    class Stalled(AsyncFileSystem):
        """A file system whose answers never come."""

        async def _cat_file(self, path, start=None, end=None, **_):  # noqa: ARG002
            await asyncio.sleep(60)

    begun = time.monotonic()
    with pytest.raises(ReadError, match="^/file cannot be read, attempt after attempt: no answer came$"):
        fetch(Stalled(), "/file", 0, 1, first_wait_s=0, retry_s=1)
    assert time.monotonic() - begun < 20
