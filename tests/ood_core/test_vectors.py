import io
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ood_core.vectors import parquet_bytes, parquet_table, vector_column, vectors_of


def stored(table: pa.Table) -> dict[str, bool]:
    """Whether each of Parquet's columns has a dictionary."""
    footer = pq.ParquetFile(io.BytesIO(parquet_bytes(table))).metadata
    columns = [footer.row_group(0).column(number) for number in range(footer.num_columns)]
    return {column.path_in_schema: column.has_dictionary_page for column in columns}


def test_vectors_come_back_as_they_were() -> None:
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    table = pq.read_table(io.BytesIO(parquet_bytes(pa.table({"v": vector_column(vectors)}))))
    assert (vectors_of(table["v"]) == vectors).all()


def test_masked_vectors_are_null_and_left_out() -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    column = vector_column(vectors, mask=np.array([False, True, False]))
    assert column.null_count == 1
    assert (vectors_of(column) == vectors[[0, 2]]).all()


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float64())])
def test_lists_of_any_length_need_a_dimension(kind: pa.DataType) -> None:
    assert vectors_of(pa.array([[1.0, 2.0], [3.0, 4.0]], kind), dim=2).tolist() == [[1, 2], [3, 4]]


def test_only_vectors_of_floats_go_without_a_dictionary() -> None:
    vector = pa.array([[1.0, 2.0]] * 2, pa.list_(pa.float32(), 2))
    columns = {
        "text": ["a", "b"],
        "score": [0.5, 0.25],
        "embedding": vector,
        "half": pa.array([[1.0]] * 2, pa.list_(pa.float16())),
        "tags": [["x"], ["y"]],
        "numbers": pa.array([[1, 2]] * 2, pa.list_(pa.int64())),
        "nested": pa.array([{"of": 1.0, "vector": [1.0, 2.0]}] * 2),
        "named": pa.array([[("k", 1.0)]] * 2, pa.map_(pa.string(), pa.float64())),
    }
    assert stored(pa.table(columns)) == {
        "text": True,
        "score": True,
        "embedding.list.element": False,
        "half.list.element": False,
        "tags.list.element": True,
        "numbers.list.element": True,
        "nested.of": True,
        "nested.vector.list.element": False,
        "named.key_value.key": True,
        "named.key_value.value": True,
    }


def test_columns_come_in_the_order_in_which_they_are_asked_for() -> None:
    content = parquet_bytes(pa.table({"a": [1], "b": ["x"], "c": [2.0]}, metadata={"of": "tests"}))
    assert parquet_table(pa.BufferReader(content)).schema.metadata == {b"of": b"tests"}
    assert parquet_table(pa.BufferReader(content), ["c", "a"]).to_pydict() == {"c": [2.0], "a": [1]}
    with pytest.raises(pa.ArrowInvalid, match="^it has no column d$"):
        parquet_table(pa.BufferReader(content), ["a", "d"])


def test_a_process_ends_with_its_own_code_however_soon_after_a_table_was_read() -> None:
    code = (
        "import sys, pyarrow as pa; from ood_core.vectors import parquet_bytes, parquet_table;"
        "content = parquet_bytes(pa.table({'a': list(range(10))}));"
        "[parquet_table(pa.BufferReader(bytes(content))) for _ in range(20)]; sys.exit(5)"
    )
    assert {subprocess.run([sys.executable, "-c", code]).returncode for _ in range(5)} == {5}
