import io
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import ReadError
from pipelines.inputs.readers import npy
from pipelines.inputs.readers.embeddings import EmbeddingColumns, EmbeddingRows
from pipelines.inputs.readers.npy import Layout, keys_url, read_keys, read_npy, read_vectors
from tests.pipelines.flaky_files import holding

VALUES = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)


def content_of(values: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, **options)
    return buffer.getvalue()


def layout_of(content: bytes) -> Layout:
    return Layout.of(io.BytesIO(content), len(content))


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8"])
@pytest.mark.parametrize(("start", "count"), [(0, 30), (7, 11), (29, 1), (5, 0)])
@pytest.mark.parametrize("place", ["disk", "memory"])
def test_rows_are_read_from_disk_and_by_ranges(tmp_path: Path, place: str, dtype: str, start: int, count: int) -> None:
    content = content_of(VALUES.astype(dtype))
    path = str(tmp_path / "img_emb_0.npy")
    files = fsspec.filesystem("file" if place == "disk" else "memory")
    files.pipe_file(path, content)
    found = [np.empty((0, 5)), *read_vectors(files, path, layout_of(content), start, count)]
    assert {part.dtype for part in found[1:]} <= {np.dtype(np.float32)}
    np.testing.assert_array_equal(np.concatenate(found), VALUES.astype(dtype).astype(np.float32)[start : start + count])


def test_a_bounded_number_of_rows_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npy, "ROWS_PER_BATCH", 7)
    asked = []

    def counted(_: int, answer: bytes) -> bytes:
        asked.append(len(answer))
        return answer

    content = content_of(VALUES)
    found = list(read_vectors(holding(content, counted), "/file", layout_of(content), 4, 20))
    assert asked == [140, 140, 120]
    np.testing.assert_array_equal(np.concatenate(found), VALUES[4:24])


def test_what_can_no_longer_be_read_is_a_read_error() -> None:
    def denied(_: int, answer: bytes) -> bytes:
        raise PermissionError("the token has expired")

    content = content_of(VALUES)
    with pytest.raises(ReadError, match="the token has expired"):
        list(read_vectors(holding(content, denied), "/file", layout_of(content), 0, 30))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "magic"),
        (b"not numpy at all, but long enough", "magic"),
        (content_of(VALUES)[:40], "EOF"),
        (content_of(VALUES)[:-1], "is cut or not whole"),
        (content_of(VALUES) + b"x", "is cut or not whole"),
        (content_of(np.array([{"a": 1}, None]), allow_pickle=True), "holds object of shape"),
        (content_of(np.array([[{"a": 1}], [None]]), allow_pickle=True), "holds object of shape"),
        (content_of(VALUES[0]), r"holds float32 of shape \(5,\), not rows of floats"),
        (content_of(VALUES[None]), r"of shape \(1, 30, 5\), not rows"),
        (content_of(np.arange(6).reshape(2, 3)), "holds int64 of shape"),
        (content_of(np.asfortranarray(VALUES)), "column by column"),
    ],
)
def test_what_is_not_a_whole_file_of_rows_of_floats_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        layout_of(content)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://b/out/img_emb/img_emb_0.npy", "s3://b/out/metadata/metadata_0.parquet"),
        ("/out/img_emb/img_emb_0012.npy", "/out/metadata/metadata_0012.parquet"),
        ("/out/text_emb/text_emb_0.npy", None),
        ("/out/img_emb/notes.npy", None),
        ("/out/img_emb/img_emb_0.parquet", None),
        ("/out/img_emb_0.npy", None),
        ("img_emb_0.npy", None),
    ],
)
def test_the_keys_are_where_clip_retrieval_puts_them(url: str, expected: str | None) -> None:
    assert keys_url(url) == expected


def test_rows_get_their_keys_and_rows_of_damaged_keys_have_none() -> None:
    buffer = io.BytesIO()
    table = pa.table({"image_path": [f"k{row}" for row in range(30)], "caption": ["c"] * 30})
    pq.write_table(table, buffer, row_group_size=10, compression="none", use_dictionary=False)
    content = bytearray(buffer.getvalue())
    chunk = pq.ParquetFile(buffer).metadata.row_group(1).column(0)
    content[chunk.data_page_offset : chunk.data_page_offset + 30] = b"\xff" * 30
    keys = read_keys(io.BytesIO(bytes(content)), EmbeddingColumns(), 8, 14)
    parts: list[EmbeddingRows] = list(read_npy(iter([VALUES[8:12], VALUES[12:22]]), keys))
    assert [key for part in parts for key in part.keys] == ["k8", "k9", *[None] * 10, "k20", "k21"]
    np.testing.assert_array_equal(np.concatenate([part.vectors for part in parts]), VALUES[8:22])
