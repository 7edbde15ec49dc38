import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ReadError
from pipelines.inputs.readers import row_groups
from pipelines.inputs.readers.cells import as_texts
from pipelines.inputs.readers.embeddings import (
    EMBEDDING_COLUMNS,
    FOREIGN_KEY_COLUMNS,
    EmbeddingColumns,
    EmbeddingRows,
    read_embedding_table,
    validated,
)
from pipelines.inputs.readers.range_file import open_range
from pipelines.inputs.readers.row_groups import Gap, RowRange, open_table
from tests.pipelines.flaky_files import break_every_other, holding

DIM = 4
ANY = EmbeddingColumns()


def unit(rows: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, DIM))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def keys(rows: int) -> list[str | None]:
    return [f"k{row}" for row in range(rows)]


def file_of(columns: dict, rows_per_group: int = 10, **options) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, row_group_size=rows_per_group, **options)
    return buffer.getvalue()


def table(rows: int = 30, kind: pa.DataType | None = None) -> dict:
    return {"key": keys(rows), "embedding": pa.array(unit(rows).tolist(), kind or pa.list_(pa.float32(), DIM))}


def joined(parts: list[EmbeddingRows]) -> EmbeddingRows:
    return EmbeddingRows(
        [key for part in parts for key in part.keys],
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.statuses for part in parts]),
        np.concatenate([part.errors for part in parts]),
    )


def read(content: bytes, start: int = 0, count: int = 30, columns: EmbeddingColumns = ANY) -> EmbeddingRows:
    return joined(list(read_embedding_table(io.BytesIO(content), columns, DIM, start, count)))


@pytest.mark.parametrize("number", [pa.float16(), pa.float32(), pa.float64()], ids=str)
@pytest.mark.parametrize(
    "lists", [pa.list_, pa.large_list, lambda kind: pa.list_(kind, DIM)], ids=["list", "large list", "fixed size list"]
)
def test_lists_of_every_kind_and_of_every_float_are_embeddings(lists, number: pa.DataType) -> None:
    found = read(file_of(table(kind=lists(number))))
    assert found.keys == keys(30)
    assert found.vectors.dtype == np.float32
    np.testing.assert_allclose(found.vectors, unit(30), atol=1e-3 if number == pa.float16() else 1e-7)


def test_tensors_of_one_axis_are_lists() -> None:
    tensors = pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.float32(), [DIM]), pa.array(unit(30).tolist(), pa.list_(pa.float32(), DIM))
    )
    np.testing.assert_array_equal(read(file_of({"key": keys(30), "embedding": tensors})).vectors, unit(30))


def test_a_table_that_ray_data_wrote_is_read_with_and_without_ray(tmp_path: Path) -> None:
    """Whoever has imported Ray sees Ray's own type of tensors, and whoever has not sees the lists in it."""
    from ray.data._internal.tensor_extensions.arrow import ArrowTensorArray

    content = file_of({"key": keys(30), "embedding": ArrowTensorArray.from_numpy(unit(30))})
    np.testing.assert_array_equal(read(content).vectors, unit(30))
    (tmp_path / "a.parquet").write_bytes(content)
    program = (
        "import sys, numpy as np; from pipelines.inputs.readers.embeddings import *\n"
        f"parts = list(read_embedding_table(open(sys.argv[1], 'rb'), EmbeddingColumns(), {DIM}, 0, 30))\n"
        "assert 'ray' not in sys.modules; print(float(np.concatenate([part.vectors for part in parts]).sum()))"
    )
    asked = [sys.executable, "-c", program, str(tmp_path / "a.parquet")]
    said = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    assert said == f"{float(unit(30).sum())}\n"


def test_a_slice_does_not_read_to_the_end_of_a_large_row_group(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, decoded = open_table(io.BytesIO(file_of(table(), 30))), []
    batches = opened.iter_batches

    def noted(*given, **named) -> Iterator[pa.RecordBatch]:
        for batch in batches(*given, **named):
            decoded.append(batch)
            yield batch

    monkeypatch.setattr(opened, "iter_batches", noted)
    found = list(row_groups.row_batches(opened, None, RowRange(5, 6), 5))
    assert [part.rows if isinstance(part, Gap) else part.num_rows for part in found] == [5, 1]
    assert len(decoded) == 3


@pytest.mark.parametrize("rows_per_group", [1, 7, 10, 30, 1000])
@pytest.mark.parametrize(("start", "count"), [(0, 30), (0, 1), (9, 2), (10, 10), (29, 1), (13, 0)])
def test_a_slice_holds_its_own_rows_wherever_row_groups_end(rows_per_group: int, start: int, count: int) -> None:
    parts = list(read_embedding_table(io.BytesIO(file_of(table(), rows_per_group)), ANY, DIM, start, count))
    assert [key for part in parts for key in part.keys] == keys(30)[start : start + count]
    if parts:
        np.testing.assert_array_equal(joined(parts).vectors, unit(30)[start : start + count])


@pytest.mark.parametrize("embedding", EMBEDDING_COLUMNS)
@pytest.mark.parametrize("key", FOREIGN_KEY_COLUMNS)
def test_columns_are_found_by_their_usual_names(key: str, embedding: str) -> None:
    schema = pa.schema({"other": pa.list_(pa.float32()), key: pa.string(), embedding: pa.list_(pa.float64())})
    assert ANY.find(schema) == (key, embedding)


@pytest.mark.parametrize(
    ("columns", "schema", "said"),
    [
        (ANY, {"key": pa.string(), "v": pa.list_(pa.float32())}, "no column one of embedding, .* among key, v; name "),
        (ANY, {"name": pa.string(), "embedding": pa.list_(pa.float32())}, "one of key, .* name it with --key-column"),
        (EmbeddingColumns("name"), {"key": pa.string(), "embedding": pa.list_(pa.float32())}, "no column 'name' among"),
        (EmbeddingColumns(None, "v"), {"key": pa.string(), "embedding": pa.list_(pa.float32())}, "--embedding-column"),
        (ANY, {"key": pa.string(), "embedding": pa.list_(pa.int64())}, "holds list<.*int64>, no lists of floats"),
        (ANY, {"key": pa.string(), "embedding": pa.float32()}, "'embedding' holds float, no lists of floats"),
        (ANY, {"key": pa.string(), "embedding": pa.binary()}, "'embedding' holds binary, no lists of floats"),
    ],
)
def test_columns_that_are_not_there_or_hold_something_else_are_named(
    columns: EmbeddingColumns, schema: dict, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        columns.find(pa.schema(schema))


def test_two_columns_of_one_name_are_refused() -> None:
    schema = pa.schema([("key", pa.string()), ("embedding", pa.list_(pa.float32())), ("key", pa.string())])
    with pytest.raises(ValueError, match="two columns of one name among key, embedding, key"):
        ANY.find(schema)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (pa.array(["a", None, "ü"]), ["a", None, "ü"]),
        (pa.array(["a"], pa.large_string()), ["a"]),
        (pa.array([b"a", b"\xff"]), ["a", "\\xff"]),
        (pa.array([7, None, -1]), ["7", None, "-1"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
    ],
)
def test_keys_of_every_type_are_text(cells: pa.Array, expected: list[str | None]) -> None:
    assert as_texts(cells) == expected


def test_other_columns_come_along() -> None:
    columns = table(3) | {"url": ["a", None, "c"], "size": [1, 2, 3], "tags": [["x"], [], None]}
    (rows,) = read_embedding_table(io.BytesIO(file_of(columns)), ANY, DIM, 0, 3)
    assert {name: values.to_pylist() for name, values in rows.extra.items()} == {
        "url": ["a", None, "c"],
        "size": [1, 2, 3],
        "tags": [["x"], [], None],
    }


E0 = [1.0, 0.0, 0.0, 0.0]
BAD_CELLS = {
    "missing-embedding": (None, None),
    "wrong-dimension": ([1.0, 0.0], "2 numbers, the label bank's have 4"),
    "not-finite": ([float("nan"), 1.0, 0.0, 0.0], None),
    "zero-vector": ([0.0] * 4, None),
    "not-unit-norm": ([3.0, 4.0, 0.0, 0.0], "its length is 5"),
}


@pytest.mark.parametrize("status", BAD_CELLS)
def test_a_row_that_is_no_unit_vector_says_why_and_leaves_its_neighbours_alone(status: str) -> None:
    cell, error = BAD_CELLS[status]
    found = validated(read(file_of({"key": ["a", "b", "c"], "embedding": [E0, cell, E0]}), count=3), False)
    assert found.statuses.tolist() == ["ok", status, "ok"]
    assert found.errors.tolist() == [None, error, None]
    assert found.vectors.tolist() == [E0, [0.0] * 4, E0]


@pytest.mark.parametrize(
    "cell", [[float("inf"), 0.0, 0.0, 0.0], [1.0, None, 0.0, 0.0], [1e300, 0.0, 0.0, 0.0], [float("nan")] * 4]
)
@pytest.mark.parametrize("normalize", [False, True])
def test_numbers_that_are_missing_or_beyond_float32_are_not_finite(cell: list, normalize: bool) -> None:
    found = validated(read(file_of({"key": ["a", "b"], "embedding": [cell, E0]}), count=2), normalize)
    assert found.statuses.tolist() == ["not-finite", "ok"]


def test_a_column_of_nulls_alone_is_one_of_missing_embeddings() -> None:
    found = read(file_of({"key": ["a", "b"], "embedding": pa.nulls(2)}), count=2)
    assert found.statuses.tolist() == ["missing-embedding"] * 2


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.list_(pa.float64(), DIM)], ids=["list", "fixed"])
def test_nulls_among_lists_do_not_shift_the_others(kind: pa.DataType) -> None:
    cells = [None, [0.0, 1.0, 0.0, 0.0], None, E0, None]
    found = validated(read(file_of({"key": keys(5), "embedding": pa.array(cells, kind)}, 2), count=5), False)
    assert found.statuses.tolist() == ["missing-embedding", "ok", "missing-embedding", "ok", "missing-embedding"]
    assert found.vectors[[1, 3]].tolist() == [cells[1], cells[3]]


def test_normalising_brings_every_vector_to_unit_length_but_not_zeros() -> None:
    cells = [[3.0, 4.0, 0.0, 0.0], [0.0] * 4, [1e-30, 0.0, 0.0, 0.0], [2e38] * 4]
    found = validated(read(file_of({"key": keys(4), "embedding": cells}), count=4), True)
    assert found.statuses.tolist() == ["ok", "zero-vector", "ok", "ok"]
    np.testing.assert_allclose(found.vectors, [[0.6, 0.8, 0, 0], [0] * 4, E0, [0.5] * 4], rtol=1e-6)


def test_a_vector_of_unit_length_in_float16_is_of_unit_length() -> None:
    values = np.random.default_rng(0).normal(size=(500, 512))
    halves = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    assert set(validated(EmbeddingRows.of(keys(500), halves), False).statuses) == {"ok"}


def test_a_key_may_repeat_and_null_is_no_key() -> None:
    found = validated(EmbeddingRows.of(["a", None, "a", "b"], np.array([E0] * 4, np.float32)), False)
    assert found.statuses.tolist() == ["ok", "missing-key", "ok", "ok"]


@pytest.mark.parametrize("column", [0, 1], ids=["key", "embedding"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_a_damaged_row_group_costs_its_own_rows_and_no_others(compression: str, column: int) -> None:
    content = bytearray(file_of(table(), compression=compression))
    chunk = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(1).column(column)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    found = read(bytes(content))
    assert found.statuses.tolist() == ["ok"] * 10 + ["damaged-archive"] * 10 + ["ok"] * 10
    assert found.keys == [*keys(30)[:10], *[None] * 10, *keys(30)[20:]]
    assert found.errors[10].startswith("row group 1: ")
    assert not found.vectors[10:20].any()
    np.testing.assert_array_equal(found.vectors[20:], unit(30)[20:])


def test_rows_of_a_damaged_row_group_have_the_other_columns_too() -> None:
    content = bytearray(file_of(table() | {"size": list(range(30))}, compression="none"))
    chunk = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(1).column(1)
    content[chunk.data_page_offset : chunk.data_page_offset + 40] = b"\xff" * 40
    parts = list(read_embedding_table(io.BytesIO(bytes(content)), ANY, DIM, 0, 30))
    sizes = pa.chunked_array([part.extra["size"] for part in parts])
    assert sizes.to_pylist() == [*range(10), *[None] * 10, *range(20, 30)]


WHOLE = file_of(table(), write_page_checksum=True)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not Parquet at all", WHOLE[:-1], WHOLE[:-100], WHOLE[-100:]])
def test_a_file_that_is_no_whole_parquet_file_is_as_many_broken_rows_as_planned(content: bytes) -> None:
    found = read(content, count=1)
    assert found.statuses.tolist() == ["damaged-archive"]
    assert found.errors[0].startswith("not a readable Parquet file: ")


def test_rows_that_were_planned_and_are_not_there_are_broken() -> None:
    found = read(file_of(table(3)), count=5)
    assert found.statuses.tolist() == ["ok"] * 3 + ["damaged-archive"] * 2
    assert found.errors[4] == "the file holds fewer rows than planned"


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=300)
def test_no_damage_raises_or_loses_a_row_or_changes_a_number_in_silence(damage: list[tuple[int, int]]) -> None:
    content = bytearray(WHOLE)
    for position, value in damage:
        content[position] = value
    found = validated(read(bytes(content)), False)
    assert len(found) == 30
    good = found.statuses == "ok"
    assert set(found.statuses) <= {"ok", "damaged-archive", "missing-key", "missing-embedding", "wrong-dimension"}
    np.testing.assert_array_equal(found.vectors[good], unit(30)[good])


def test_a_footer_that_contradicts_itself_is_damage() -> None:
    content = WHOLE.replace(b"\x16\x3c", b"\x16\x3e")  # the number of rows, 30, to 31
    if content == WHOLE:
        pytest.fail("the footer is written in another way")
    with pytest.raises(pa.ArrowInvalid):
        open_table(io.BytesIO(content))


def test_embeddings_over_a_flaky_connection_are_the_same() -> None:
    files = holding(WHOLE, break_every_other)
    file = open_range(files, "/file", len(WHOLE), first_wait_s=0, chunk_bytes=256)
    found = joined(list(read_embedding_table(file, ANY, DIM, 0, 30)))
    np.testing.assert_array_equal(found.vectors, unit(30))
    assert files.requests > 10


def test_embeddings_that_can_no_longer_be_read_are_a_read_error_and_not_damage() -> None:
    def denied(request: int, answer: bytes) -> bytes:
        if request > 3:
            raise PermissionError("the token has expired")
        return answer

    file = open_range(holding(WHOLE, denied), "/file", len(WHOLE), chunk_bytes=64)
    with pytest.raises(ReadError, match="the token has expired"):
        list(read_embedding_table(file, ANY, DIM, 0, 30))
