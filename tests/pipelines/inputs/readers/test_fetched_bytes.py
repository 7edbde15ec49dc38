"""How much of a Parquet file is fetched for what is read of it."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from pipelines.inputs.readers.parquet import ImageColumns, read_parquet
from pipelines.inputs.readers.range_file import CHUNK_BYTES, RangeFile
from pipelines.inputs.readers.record import Record
from pipelines.inputs.readers.row_groups import RowRange

ROWS, IMAGE_BYTES = 1500, 40_000
IN_ALL = ROWS * IMAGE_BYTES
SMALL = 400_000
"""Footer, keys and page headers."""


class Counting(LocalFileSystem):
    """The local disk, and the bytes that are fetched from it."""

    fetched = 0

    def cat_file(self, path, start=None, end=None, **given) -> bytes:
        content = bytes(super().cat_file(path, start=start, end=end, **given))  # pyright: ignore[reportArgumentType]
        self.fetched += len(content)
        return content


@pytest.fixture(scope="module", params=[100, ROWS], ids=["small row groups", "one row group"])
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """60 MB of images beside 15 MB of something else, in pages of a megabyte, and the rows of a row group."""
    random = np.random.default_rng(0)
    columns = {
        "key": [f"k{row}" for row in range(ROWS)],
        "image": pa.array([random.bytes(IMAGE_BYTES) for _ in range(ROWS)], pa.binary()),
        "depth": pa.array([random.bytes(IMAGE_BYTES // 4) for _ in range(ROWS)], pa.binary()),
    }
    path = tmp_path_factory.mktemp("table") / "a.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=request.param, write_batch_size=16, use_dictionary=False)
    return path, request.param


def opened(path: Path, start: int = 0, rows: int | None = None) -> tuple[Counting, Iterator[Record]]:
    files = Counting(skip_instance_cache=True)
    file = RangeFile(files, str(path), path.stat().st_size)
    return files, read_parquet(file, ImageColumns(), 10**6, RowRange(start, rows) if rows else None)


def test_the_first_record_takes_a_bufferful_and_not_a_column_chunk(table: tuple[Path, int]) -> None:
    files, found = opened(table[0])
    assert next(found).key == "k0"
    assert files.fetched <= CHUNK_BYTES + SMALL


def test_every_byte_of_a_column_is_fetched_once_and_others_are_not(table: tuple[Path, int]) -> None:
    files, found = opened(table[0])
    assert sum(len(record.content) for record in found) == IN_ALL
    assert IN_ALL <= files.fetched <= IN_ALL + SMALL


@pytest.mark.parametrize(("start", "rows"), [(0, 100), (700, 100), (1400, 100), (300, 500)])
def test_a_range_fetches_what_it_holds_and_what_lies_before_it_in_its_row_group(
    table: tuple[Path, int], start: int, rows: int
) -> None:
    path, per_group = table
    files, found = opened(path, start, rows)
    assert [record.key for record in found] == [f"k{row}" for row in range(start, start + rows)]
    needed = (start + rows - start // per_group * per_group) * IMAGE_BYTES
    assert needed <= files.fetched <= needed + CHUNK_BYTES + SMALL


def test_a_reader_that_stops_has_fetched_little_more(table: tuple[Path, int]) -> None:
    files, found = opened(table[0])
    assert len(list(itertools.islice(found, 500))) == 500
    assert files.fetched <= 600 * IMAGE_BYTES + CHUNK_BYTES + SMALL
