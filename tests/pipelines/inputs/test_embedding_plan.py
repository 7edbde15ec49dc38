"""What is to be rescored: every layout of files to shards, and whatever is wrong with a whole table before work."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config.rescore import ReadEmbeddings
from pipelines.errors import CallerError
from pipelines.inputs.embedding_plan import plan_embeddings, read_rows
from pipelines.inputs.plan import Plan
from tests.conftest import Storage
from tests.pipelines.inputs.lying_footer import claiming

DIM = 4


def unit(rows: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, DIM))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def table(rows: int, first: int = 0) -> pa.Table:
    return pa.table({"key": [f"k{first + row}" for row in range(rows)], "embedding": unit(rows, first).tolist()})


def write(path: Path, content: pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(content, path)
    return path


def write_npy(folder: Path, number: int, values: np.ndarray, keys: list[str] | None = None) -> Path:
    """A file of clip-retrieval's, of images and of texts, with its metadata."""
    for name in ("img_emb", "text_emb", "metadata"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    named = [f"{number}-{row}" for row in range(len(values))] if keys is None else keys
    np.save(folder / "img_emb" / f"img_emb_{number}.npy", values)
    np.save(folder / "text_emb" / f"text_emb_{number}.npy", values[::-1])
    pq.write_table(
        pa.table({"image_path": named, "caption": ["c"] * len(named)}),
        folder / "metadata" / f"metadata_{number}.parquet",
    )
    return folder


def planned(*inputs: Path | str, options: dict | None = None, dim: int = DIM, **read) -> Plan:
    return plan_embeddings([str(given) for given in inputs], ReadEmbeddings(**read), dim, options or {})


def slices(found: Plan) -> list[tuple[str, int, int | None]]:
    return [(re.sub("-[0-9a-f]{8}", "", shard.id, count=1), shard.start, shard.rows) for shard in found.shards]


def test_a_large_table_is_cut_and_a_small_one_is_not(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", table(5))
    write(tmp_path / "b.parquet", table(2))
    assert slices(planned(tmp_path, rows_per_shard=2)) == [
        ("a-00000000", 0, 2), ("a-00000002", 2, 2), ("a-00000004", 4, 1), ("b", 0, 2),
    ]  # fmt: skip


def test_a_table_is_cut_where_row_groups_end(tmp_path: Path) -> None:
    pq.write_table(table(25), tmp_path / "a.parquet", row_group_size=4)
    pq.write_table(table(7), tmp_path / "b.parquet", row_group_size=4)
    found = planned(tmp_path, rows_per_shard=10)
    assert [(start, rows) for _, start, rows in slices(found)] == [(0, 8), (8, 8), (16, 9), (0, 7)]
    read = [part for shard in found.shards for part in read_rows(shard, ReadEmbeddings(), DIM, {})]
    assert [key for part in read for key in part.keys] == [f"k{row}" for row in [*range(25), *range(7)]]


def test_a_footer_that_lies_is_damage_and_costs_nothing(tmp_path: Path) -> None:
    content = write(tmp_path / "a.parquet", table(1000)).read_bytes()
    (tmp_path / "a.parquet").write_bytes(claiming(content, 1000, 2**60))
    found = planned(tmp_path)
    assert slices(found) == [("a", 0, 1)]
    (rows,) = read_rows(found.shards[0], ReadEmbeddings(), DIM, {})
    assert rows.statuses.tolist() == ["damaged-archive"]


def test_a_table_without_rows_is_a_shard_without_rows(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", table(0))
    found = planned(tmp_path)
    assert slices(found) == [("a", 0, 0)]
    assert [len(rows) for rows in read_rows(found.shards[0], ReadEmbeddings(), DIM, {})] == []


def test_every_file_is_planned_once_however_often_it_is_given(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", table(2))
    (tmp_path / "list.txt").write_text("a.parquet\na.parquet\n")
    assert slices(planned(path, tmp_path, tmp_path / "list.txt", f"{tmp_path}/*.parquet")) == [("a", 0, 2)]


def test_what_is_no_table_is_passed_over_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", table(2))
    (tmp_path / "._a.parquet").write_bytes(b"resource fork")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "notes.md").touch()
    found = planned(tmp_path)
    assert len(found.shards) == 1
    assert found.passed_over == {"hidden": 2, ".md": 1}


def test_a_damaged_file_is_one_row_that_says_so(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", table(2))
    cut = write(tmp_path / "b.parquet", table(20)).read_bytes()[:-20]
    (tmp_path / "b.parquet").write_bytes(cut)
    found = planned(tmp_path)
    assert slices(found)[1] == ("b", 0, 1)
    (rows,) = read_rows(found.shards[1], ReadEmbeddings(), DIM, {})
    assert rows.statuses.tolist() == ["damaged-archive"]


def test_clip_retrievals_folder_gives_its_images_and_leaves_its_texts(storage: Storage, tmp_path: Path) -> None:
    folder = tmp_path / "retrieval"
    write_npy(folder, 0, unit(5, 0).astype(np.float16))
    write_npy(folder, 1, unit(3, 1))
    url = storage.upload(folder, "uploaded")
    found = planned(url, rows_per_shard=4, options=storage.options)
    assert slices(found) == [
        ("img_emb_0-00000000", 0, 4), ("img_emb_0-00000004", 4, 1), ("img_emb_1", 0, 3),
    ]  # fmt: skip
    rows = [list(read_rows(shard, ReadEmbeddings(), DIM, storage.options)) for shard in found.shards]
    assert [key for (part,) in rows for key in part.keys] == [*(f"0-{n}" for n in range(5)), "1-0", "1-1", "1-2"]
    assert {status for (part,) in rows for status in part.statuses} == {"ok"}
    np.testing.assert_array_equal(rows[1][0].vectors, unit(5, 0).astype(np.float16).astype(np.float32)[4:])
    np.testing.assert_array_equal(rows[2][0].vectors, unit(3, 1))


def test_another_content_is_another_input(tmp_path: Path) -> None:
    write_npy(tmp_path, 0, unit(3))
    before = planned(tmp_path).fingerprint
    assert planned(tmp_path).fingerprint == before
    write_npy(tmp_path, 0, unit(3), ["x", "yy", "z"])
    assert planned(tmp_path).fingerprint != before
    assert planned(tmp_path, rows_per_shard=2).fingerprint != planned(tmp_path).fingerprint


def given_vectors(cells: list, kind: pa.DataType | None = None) -> Callable[[Path], object]:
    columns = {"key": [f"k{row}" for row in range(len(cells))], "embedding": pa.array(cells, kind)}
    return lambda place: write(place / "a.parquet", pa.table(columns))


def npy_file(change: Callable[[Path], object]) -> Callable[[Path], object]:
    def make(place: Path) -> None:
        write_npy(place, 0, unit(3))
        change(place)

    return make


def object_file(place: Path) -> None:
    np.save(place / "img_emb" / "img_emb_0.npy", np.array([[{}], [None]]), allow_pickle=True)


WRONG = {
    "an empty folder": (lambda _: None, "does not exist or holds no files"),
    "no table in it": (lambda place: (place / "x.csv").touch(), "holds no table of embeddings (.parquet or .npy)"),
    "another dimension": (
        given_vectors([[1.0, 0.0]], pa.list_(pa.float32(), 2)),
        "a.parquet': its embeddings have dimension 2, those of the label bank 4",
    ),
    "not lists": (given_vectors([1.0]), "a.parquet': --embedding-column 'embedding' holds double, no lists of floats"),
    "whole numbers": (given_vectors([[1, 0, 0, 0]]), "int64>, no lists of floats"),
    "no key column": (
        lambda place: write(place / "a.parquet", table(2).rename_columns(["name", "embedding"])),
        "a.parquet': there is no column one of key, __key__, id, image_id, filename, path, image_path, filepath, "
        "file_path, url among name, embedding; name it with --key-column",
    ),
    "no embedding column": (
        lambda place: write(place / "a.parquet", table(2).rename_columns(["key", "clip"])),
        "among key, clip; name it with --embedding-column",
    ),
    "not of unit length": (
        given_vectors([[3.0, 4.0, 0.0, 0.0]] * 3 + [[1.0, 0.0, 0.0, 0.0]] * 2),
        "a.parquet': most embeddings are not of unit length (of the first, its length is 5; 1 ± 0.002 is wanted); "
        "give --normalize",
    ),
    "npy of another dimension": (
        lambda place: write_npy(place, 0, np.eye(2, dtype=np.float32)),
        "img_emb_0.npy': its embeddings have dimension 2, those of the label bank 4",
    ),
    "npy of pickles": (npy_file(object_file), "img_emb_0.npy': it holds object of shape (2, 1)"),
    "npy cut short": (
        npy_file(lambda place: (f := place / "img_emb/img_emb_0.npy").write_bytes(f.read_bytes()[:-3])),
        "which is not what its header says: it is cut or not whole",
    ),
    "npy without keys": (
        npy_file(lambda place: (place / "metadata/metadata_0.parquet").unlink()),
        "metadata_0.parquet' with the keys of its rows",
    ),
    "npy with fewer keys": (
        npy_file(lambda place: write(place / "metadata/metadata_0.parquet", table(2))),
        "img_emb_0.npy': it has 3 rows, and ",
    ),
    "npy with damaged keys": (
        npy_file(lambda place: (place / "metadata/metadata_0.parquet").write_bytes(b"PAR1")),
        "img_emb_0.npy': ",
    ),
    "npy whose keys have another name": (
        npy_file(lambda place: write(place / "metadata/metadata_0.parquet", pa.table({"n": [1, 2, 3]}))),
        "among n; name it with --key-column",
    ),
    "npy not of unit length": (
        lambda place: write_npy(place, 0, 2 * unit(3)),
        "most embeddings are not of unit length (of the first, its length is 2;",
    ),
    "npy of another name": (
        lambda place: np.save(place / "vectors.npy", unit(3)),
        "a .npy file must be named img_emb/img_emb_N.npy, beside metadata/metadata_N.parquet",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_whole_table_is_said_before_work(tmp_path: Path, name: str) -> None:
    make, said = WRONG[name]
    place = tmp_path / "data"
    place.mkdir()
    make(place)
    with pytest.raises(CallerError) as refused:
        planned(place)
    assert str(refused.value).startswith("--embeddings '")
    assert str(place) in str(refused.value)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_single_rows_that_are_not_of_unit_length_and_empty_tables_in_front_are_no_mistake(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", table(0))
    given_vectors([[3.0, 4.0, 0.0, 0.0]] * 2 + [[1.0, 0.0, 0.0, 0.0]] * 3)(tmp_path / "b")
    found = planned(tmp_path)
    (rows,) = read_rows(found.shards[1], ReadEmbeddings(), DIM, {})
    assert rows.statuses.tolist() == ["not-unit-norm"] * 2 + ["ok"] * 3


def test_an_empty_table_in_front_does_not_hide_one_that_nobody_normalised(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", table(0))
    given_vectors([[3.0, 4.0, 0.0, 0.0]] * 3)(tmp_path / "b")
    with pytest.raises(CallerError, match="give --normalize"):
        planned(tmp_path)
    (rows,) = read_rows(planned(tmp_path, normalize=True).shards[1], ReadEmbeddings(normalize=True), DIM, {})
    np.testing.assert_allclose(rows.vectors, [[0.6, 0.8, 0, 0]] * 3, rtol=1e-6)


def test_columns_of_any_name_and_type_can_be_named(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", pa.table({"n": [7, 8], "clip": unit(2).tolist(), "embedding": [1, 2]}))
    read = ReadEmbeddings(key_column="n", embedding_column="clip")
    (shard,) = plan_embeddings([str(tmp_path)], read, DIM, {}).shards
    (rows,) = read_rows(shard, read, DIM, {})
    assert rows.keys == ["7", "8"]
    assert rows.extra["embedding"].to_pylist() == [1, 2]
