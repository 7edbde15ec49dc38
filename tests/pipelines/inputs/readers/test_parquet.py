import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ReadError
from pipelines.inputs.readers.parquet import ImageColumns, read_parquet
from pipelines.inputs.readers.range_file import open_range
from pipelines.inputs.readers.record import Record
from tests.pipelines.flaky_files import break_every_other, holding
from tests.pipelines.inputs.placeless import placeless

IMAGES = [bytes([row]) * 40 for row in range(30)]
LATE = f"<value out of range: {2**62}>"
STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def file_of(columns: dict, rows_per_group: int = 10, **options) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, row_group_size=rows_per_group, **options)
    return buffer.getvalue()


def read(content: bytes, columns: ImageColumns = ImageColumns(), max_bytes: int = 10**6) -> list[Record]:  # noqa: B008
    return placeless(read_parquet(io.BytesIO(content), columns, max_bytes))


KINDS = {
    "binary": pa.binary(),
    "large": pa.large_binary(),
    "view": pa.binary_view(),
    "fixed size": pa.binary(40),
    "dictionary": pa.dictionary(pa.int32(), pa.binary()),
    "hugging face": STRUCT,
    "list": pa.list_(pa.binary()),
    "large list": pa.large_list(pa.large_binary()),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("rows_per_group", [7, 30, 1000])
def test_every_cell_is_a_record_in_row_order(kind: pa.DataType, rows_per_group: int) -> None:
    images = IMAGES * 5  # more than are read at once
    cells = [{"bytes": image, "path": "x"} for image in images] if kind == STRUCT else images
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        cells = [[image] for image in images]
    records = read(file_of({"image": pa.array(cells, kind)}, rows_per_group))
    assert records == [Record(str(row), image) for row, image in enumerate(images)]


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        (pa.binary(), [b"a", None, b"", b"d"]),
        (pa.large_binary(), [b"a", None, b"", b"d"]),
        (STRUCT, [{"bytes": b"a"}, None, {"bytes": b""}, {"bytes": b"d"}]),
        (STRUCT, [{"bytes": b"a"}, {"bytes": None}, {"bytes": b""}, {"bytes": b"d"}]),
        (pa.list_(pa.binary()), [[b"a"], [], [b""], [b"d"]]),
        (pa.list_(pa.binary()), [[b"a"], [None], [b""], [b"d"]]),
        (pa.dictionary(pa.int32(), pa.binary()), [b"a", None, b"", b"d"]),
    ],
)
def test_a_null_is_a_missing_image_and_an_empty_cell_an_empty_one(kind: pa.DataType, cells: list) -> None:
    records = read(file_of({"image": pa.array(cells, kind)}))
    assert records == [
        Record("0", b"a"),
        Record("1", status="missing-image", error="null"),
        Record("2", b""),
        Record("3", b"d"),
    ]


@pytest.mark.parametrize(
    "kind", [STRUCT, pa.struct({"path": pa.string()}), pa.struct({"bytes": pa.null(), "path": pa.string()})]
)
def test_an_image_that_was_never_embedded_says_where_it_should_be(kind: pa.DataType) -> None:
    records = read(file_of({"image": pa.array([{"path": "a/b.jpg"}, None], kind)}))
    assert records == [
        Record("0", status="missing-image", error="never embedded: path 'a/b.jpg'"),
        Record("1", status="missing-image", error="null"),
    ]


@pytest.mark.parametrize("kind", ["image", "key"])
def test_cells_that_point_nowhere_are_damage(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a dictionary shorter than an index, which Arrow notices only when it is looked up."""
    odd = pa.DictionaryArray.from_arrays(pa.array([0, 7], pa.int32()), pa.array([b"a", b"b"]), safe=False)
    columns = {"image": pa.array([b"x", b"y"]), "key": pa.array(["p", "q"]), kind: odd}
    batch = pa.RecordBatch.from_pydict(columns)
    monkeypatch.setattr("pipelines.inputs.readers.parquet.row_batches", lambda *_, **__: iter([batch]))
    records = read(file_of({"image": [b"x", b"y"], "key": ["p", "q"]}))
    assert [(record.key, record.status) for record in records] == [("0", "damaged-archive"), ("1", "damaged-archive")]


def test_a_list_of_several_images_is_not_one() -> None:
    (record,) = read(file_of({"image": pa.array([[b"a", b"b"]], pa.list_(pa.binary()))}))
    assert record == Record("0", status="missing-image", error="a list of 2 images, not one")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"key": ["p", "q"]}, ["p", "q"]),
        ({"key": pa.array(["p", "q"], pa.large_string())}, ["p", "q"]),
        ({"id": [70, 71]}, ["70", "71"]),
        ({"key": ["p", None]}, ["p", "1"]),
        ({"key": pa.array(["p", "q"]).dictionary_encode()}, ["p", "q"]),
        ({"key": pa.array([b"p", b"\xff"]).dictionary_encode()}, ["p", "\\xff"]),
        ({"key": pa.array([b"p", b"q"], pa.binary())}, ["p", "q"]),
        (
            {"key": pa.array([1, 2**62], pa.timestamp("us"))},
            ["1970-01-01 00:00:00.000001", f"<value out of range: {2**62}>"],
        ),
        ({"key": pa.array([[1], [2, 3]])}, ["[1]", "[2, 3]"]),
        ({"path": ["x/p.jpg", "ü"], "caption": ["no", "no"]}, ["x/p.jpg", "ü"]),
        ({"caption": ["no", "no"]}, ["0", "1"]),
        ({"path": ["late", "late"], "key": ["p", "q"]}, ["p", "q"]),
        ({"key": pa.Array.from_buffers(pa.string(), 2, pa.array([b"p", b"\xff"]).buffers())}, ["p", "\\xff"]),
    ],
)
def test_keys_come_from_the_first_usual_column_or_are_row_numbers(keys: dict, expected: list[str]) -> None:
    assert [record.key for record in read(file_of({"image": IMAGES[:2]} | keys))] == expected


def test_named_columns_are_taken_before_the_usual_ones() -> None:
    content = file_of({"image": [b"no"], "picture": [b"yes"], "key": ["no"], "name": ["yes"]})
    assert read(content, ImageColumns("picture", "name")) == [Record("yes", b"yes")]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (ImageColumns(), "no image column (one of image, img, "),
        (ImageColumns("picture"), "no image column ('picture') among a, b"),
        (ImageColumns("a"), "column 'a' holds int64, not image bytes"),
        (ImageColumns("b", "name"), "no key column 'name' among a, b"),
    ],
)
def test_columns_that_do_not_fit_cost_every_row_and_are_named(columns: ImageColumns, message: str) -> None:
    schema = pa.schema({"a": pa.int64(), "b": pa.binary()})
    with pytest.raises(ValueError, match="column") as raised:
        columns.find(schema)
    assert message in str(raised.value)
    records = read(file_of({"a": [1, 2], "b": [b"", b""]}), columns)
    assert [(record.key, record.status) for record in records] == [("0", "missing-image"), ("1", "missing-image")]
    assert message in str(records[0].error)


def test_a_cell_over_the_limit_is_too_large() -> None:
    records = read(file_of({"image": [b"12345", b"123456"]}), max_bytes=5)
    assert records == [Record("0", b"12345"), Record("1", status="too-large", error="6 bytes, more than 5")]


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_a_damaged_row_group_costs_its_own_rows_and_no_others(compression: str) -> None:
    content = bytearray(file_of({"key": [f"k{n}" for n in range(30)], "image": IMAGES}, compression=compression))
    chunk = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(1).column(1)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    records = read(bytes(content))
    assert records[:10] == [Record(f"k{row}", IMAGES[row]) for row in range(10)]
    assert [(r.key, r.status) for r in records[10:20]] == [(str(row), "damaged-archive") for row in range(10, 20)]
    assert str(records[10].error).startswith("row group 1: ")
    assert records[20:] == [Record(f"k{row}", IMAGES[row]) for row in range(20, 30)]


def test_a_flipped_bit_in_an_image_is_noticed_where_the_file_has_page_checksums() -> None:
    content = file_of({"image": IMAGES}, compression="none", use_dictionary=False, write_page_checksum=True)
    flipped = content.replace(IMAGES[15], b"\0" + IMAGES[15][1:])
    assert [record.status for record in read(flipped)] == ["ok"] * 10 + ["damaged-archive"] * 10 + ["ok"] * 10


WHOLE = file_of({"key": [f"k{n}" for n in range(30)], "image": IMAGES}, write_page_checksum=True)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not Parquet at all", WHOLE[:-1], WHOLE[:-100], WHOLE[-100:]])
def test_a_file_that_is_no_whole_parquet_file_is_one_error_record(content: bytes) -> None:
    records = read(content)
    assert [(record.key, record.status) for record in records] == [("", "damaged-archive")]
    assert str(records[0].error).startswith("not a readable Parquet file: ")


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=300)
def test_no_damage_raises_or_loses_a_row_in_silence(damage: list[tuple[int, int]]) -> None:
    content = bytearray(WHOLE)
    for position, value in damage:
        content[position] = value
    records = read(bytes(content))
    assert len(records) == 30 or [record.status for record in records] == ["damaged-archive"]


def test_a_table_without_rows_has_no_records() -> None:
    assert read(file_of({"image": pa.array([], pa.binary())})) == []


def test_parquet_over_a_flaky_connection_gives_the_same_records() -> None:
    files = holding(WHOLE, break_every_other)
    file = open_range(files, "/file", len(WHOLE), first_wait_s=0, chunk_bytes=256)
    assert placeless(read_parquet(file, ImageColumns(), 10**6)) == read(WHOLE)
    assert files.requests > 10


def test_parquet_that_can_no_longer_be_read_is_a_read_error_and_not_damage() -> None:
    def denied(request: int, answer: bytes) -> bytes:
        if request > 3:
            raise PermissionError("the token has expired")
        return answer

    file = open_range(holding(WHOLE, denied), "/file", len(WHOLE), chunk_bytes=64)
    with pytest.raises(ReadError, match="the token has expired"):
        list(read_parquet(file, ImageColumns(), 10**6))
