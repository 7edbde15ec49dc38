import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.inputs.readers.page_headers import PageHeader, page_header

HEADER = b"\x15\x00\x15\x12\x15\x16\x2c\x15\x04\x15\x10\x15\x06\x15\x06\x1c\x28\x01b\x18\x01a\x11\x11\x00\x00\x00"
"""Of a data page of 9 bytes, 11 in the file, with statistics."""


def test_a_header_says_how_large_it_is_and_its_page() -> None:
    assert page_header(HEADER + b"the page") == PageHeader(len(HEADER), 9, 11)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_headers_lead_from_page_to_page_through_a_column(version: str, compression: str) -> None:
    buffer = io.BytesIO()
    images = pa.array([bytes([number]) * 3000 for number in range(200)] + [None], pa.binary())
    options: dict = {"write_batch_size": 10, "data_page_size": 5000, "dictionary_pagesize_limit": 20_000}
    pq.write_table(pa.table({"image": images}), buffer, compression=compression, data_page_version=version, **options)
    chunk = pq.ParquetFile(buffer).metadata.row_group(0).column(0)
    assert chunk.dictionary_page_offset is not None
    at, uncompressed, pages = chunk.dictionary_page_offset, 0, 0
    end = at + chunk.total_compressed_size
    while at < end:
        header = page_header(buffer.getvalue()[at:end])
        assert header is not None
        at += header.length + header.compressed
        uncompressed += header.length + header.uncompressed
        pages += 1
    assert (at, uncompressed) == (end, chunk.total_uncompressed_size)
    assert pages > 3


def test_a_header_that_is_cut_anywhere_goes_on() -> None:
    assert [page_header(HEADER[:length]) for length in range(len(HEADER))] == [None] * len(HEADER)


BIG = b"\x80\x80\x80\x80\x10"
"""2^31 as zigzag has it."""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x15\x00\x00", "says no size"),
        (b"\x15\x00\x15\x01\x15\x16\x00", "says no size"),
        (b"\x15\x00\x15" + BIG + b"\x15\x16\x00", "says no size"),
        (b"\x15\x00\x16\x12\x15\x16\x00", "says no size"),
        (b"\x15\x00\x15\x12\x15\x16\x05\x04\x15\x00", "no second field 2"),
        (b"\x15\x00\x15\x12\x15\x16\x05\x84\x80\x08\x15\x00", "no second field 65538"),
        (b"\x15\x00\x15\x12\x15\x16\x19\x00", "no field of type 9"),
        (b"\x1c" * 20, "nests too deep"),
        (b"\x18\x80\x80\x80\x80\x10", "no field of 4294967296 bytes"),
        (b"\x15" + b"\x80" * 20, "does not end"),
    ],
)
def test_what_could_be_read_in_two_ways_is_no_header(content: bytes, message: str) -> None:
    with pytest.raises(pa.ArrowInvalid, match=message):
        page_header(content)
