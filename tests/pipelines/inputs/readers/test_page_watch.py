import io
import random
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.inputs.readers.page_headers import page_header
from pipelines.inputs.readers.page_watch import PageLimit, PageWatch, RefusedPage
from pipelines.inputs.readers.parquet import ImageColumns, read_parquet
from pipelines.inputs.readers.record import Record
from pipelines.inputs.readers.row_groups import SMALL_PAGE_BYTES, RowRange, open_table, row_batches
from tests.pipelines.inputs.lying_footer import varint

MAX_BYTES = 2**20
NOISE = random.Random(0).randbytes
SMALL = [NOISE(100) for _ in range(6)]
BOMB = bytes(SMALL_PAGE_BYTES + MAX_BYTES)
POOLS: list[pa.MemoryPool] = []
"""They have to outlive what was read."""


def file_of(images: list[bytes], rows_per_group: int = 100, kind: pa.DataType | None = None, **options) -> bytes:
    buffer, keys = io.BytesIO(), [f"k{row}" for row in range(len(images))]
    table = pa.table({"key": keys, "image": pa.array(images, kind or pa.large_binary())})
    chosen = {"use_dictionary": ["key"], "compression": "zstd", "write_batch_size": 1, "data_page_size": 1} | options
    pq.write_table(table, buffer, row_group_size=rows_per_group, **chosen)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


def read(content: bytes, max_bytes: int = MAX_BYTES) -> list[Record]:
    return list(read_parquet(io.BytesIO(content), ImageColumns(), max_bytes))


@contextmanager
def memory_of_arrow() -> Iterator[pa.MemoryPool]:
    usual = pa.default_memory_pool()
    POOLS.append(pa.proxy_memory_pool(usual))
    pa.set_memory_pool(POOLS[-1])
    try:
        yield POOLS[-1]
    finally:
        pa.set_memory_pool(usual)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["zstd", "gzip", "brotli", "lz4", "snappy"])
def test_a_cell_over_the_limit_is_not_decompressed(compression: str, version: str) -> None:
    content = file_of([SMALL[0], BOMB, SMALL[2]], 1, compression=compression, data_page_version=version)
    with memory_of_arrow() as pool:
        records = read(content)
        assert pool.max_memory() < 16 * MAX_BYTES  # two buffers of a file object
    assert [(record.key, record.status) for record in records] == [("k0", "ok"), ("1", "too-large"), ("k2", "ok")]
    assert f"claims {len(BOMB)}"[:-2] in str(records[1].error)


def test_rows_before_a_page_that_is_refused_are_read_and_those_after_it_say_why() -> None:
    images = [NOISE(20_000) for _ in range(30)]
    images[20] = BOMB
    records = read(file_of([*images, *SMALL]))
    assert [record.content for record in records[:20]] == images[:20]
    assert {record.status for record in records[20:]} == {"too-large"}
    assert len(records) == 36


def test_a_large_page_that_hardly_shrinks_is_read() -> None:
    images = [NOISE(200_000) for _ in range(12)]
    content = file_of([*images, BOMB[: MAX_BYTES + 1] + NOISE(MAX_BYTES)], write_batch_size=100, data_page_size=2**30)
    *records, last = read(content)
    assert [record.content for record in records] == images
    assert (last.status, last.error) == ("too-large", f"{2 * MAX_BYTES + 1} bytes, more than {MAX_BYTES}")


@pytest.mark.parametrize("encoding", ["dictionary", "delta"])
def test_a_cell_that_many_rows_share_is_held_in_few_of_them_at_once(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.inputs.readers.parquet.BATCH_BYTES", 2**22)
    shared = {"use_dictionary": False, "column_encoding": {"image": "DELTA_BYTE_ARRAY"}}
    options = {"use_dictionary": True} if encoding == "dictionary" else shared
    content = file_of(
        [bytes(2**20 - 10_000)] * 256, kind=pa.binary(), write_batch_size=256, data_page_size=2**20, **options
    )
    with memory_of_arrow() as pool:
        assert {record.status for record in read(content)} == {"ok"}
        assert pool.max_memory() < 2**25


def with_page_size(content: bytes, of: int, claimed: int) -> bytes:
    """A file of which the page of `of` bytes, decompressed, claims others."""
    changed = content.replace(b"\x15" + varint(of) + b"\x15", b"\x15" + varint(claimed) + b"\x15", 1)
    assert changed != content, "the header is written in another way"
    return changed


@pytest.mark.parametrize("compression", ["snappy", "zstd", "gzip", "brotli", "lz4"])
def test_a_page_that_holds_more_than_its_header_claims_is_damage_and_takes_no_more_memory(compression: str) -> None:
    content = with_page_size(file_of([BOMB], compression=compression), len(BOMB) + 10, MAX_BYTES + 3)
    with memory_of_arrow() as pool:
        (record,) = read(content, MAX_BYTES + 3)
        assert pool.max_memory() < 32 * MAX_BYTES
    assert record.status == "damaged-archive"


@pytest.mark.parametrize("claimed", [2**31 - 1, 2**30])
def test_a_small_file_whose_page_claims_gigabytes_takes_no_memory(claimed: int) -> None:
    changed = with_page_size(file_of([NOISE(1000)], compression="snappy"), 1010, claimed)
    with memory_of_arrow() as pool:
        (record,) = read(changed)
        assert pool.max_memory() < 32 * MAX_BYTES
    assert record.status == "too-large"


def test_the_keys_count_too() -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"key": ["k" * len(BOMB)], "image": [b"x"]}), buffer, compression="zstd")
    (record,) = read(buffer.getvalue())
    assert (record.key, record.status) == ("0", "too-large")


def test_embeddings_tables_are_watched_as_well() -> None:
    table = open_table(io.BytesIO(file_of([BOMB])), MAX_BYTES)
    (gap,) = row_batches(table, None, RowRange(0, 1))
    assert gap.status == "too-large"  # pyright: ignore[reportAttributeAccessIssue]


def pages_of(content: bytes) -> list[int]:
    """Where the pages of the first column begin, and where the last ends."""
    chunk = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0).column(1)
    places = [chunk.data_page_offset]
    while places[-1] < chunk.data_page_offset + chunk.total_compressed_size:
        header = page_header(content[places[-1] :])
        assert header is not None
        places.append(places[-1] + header.length + header.compressed)
    return places


@pytest.mark.parametrize("piece", [1, 7, 100, 1000, 10**6])
def test_a_page_is_refused_where_its_header_begins_however_the_file_is_read(piece: int) -> None:
    content = file_of([*SMALL, BOMB, *SMALL], compression="zstd")
    start, *_, end = places = pages_of(content)
    watch = PageWatch(io.BytesIO(content))
    watch.follow([(start, end - start)], PageLimit(MAX_BYTES))
    watch.seek(start)
    found = b""
    with pytest.raises(RefusedPage, match="claims 681"):
        while len(found) < end - start:
            found += watch.read(piece)
    assert places[6] - start <= len(found) < places[6] - start + 30
    assert found == content[start:][: len(found)]
