"""Later steps of a rescoring take as good what the first one did, or fail."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config.rescore import ReadEmbeddings
from pipelines.errors import ReadError
from pipelines.inputs.embedding_plan import plan_embeddings
from pipelines.inputs.plan import Shard
from pipelines.inputs.stored_embeddings import StoredEmbeddings
from pipelines.scan_directory.layout import ENCODED, shard_file, table_bytes
from pipelines.scan_directory.read_again import EmbeddingsReadAgain
from pipelines.storage import Directory

DIM = 4
READ = ReadEmbeddings(retry_s=0)


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    table = pa.table({"key": list("abcd"), "embedding": np.eye(DIM).tolist()})
    pq.write_table(table, tmp_path / "a.parquet")
    (found,) = plan_embeddings([str(tmp_path / "a.parquet")], READ, DIM, {}).shards
    return found


def read_again(shard: Shard, tmp_path: Path, *statuses: str) -> EmbeddingsReadAgain:
    output = Directory(str(tmp_path / "out"))
    output.put(shard_file(ENCODED, shard.id), table_bytes(pa.table({"status": statuses}), {}))
    return EmbeddingsReadAgain(StoredEmbeddings(READ, DIM, {}), output)


def test_rows_that_were_good_are_read_again_and_others_are_not_good_now(shard: Shard, tmp_path: Path) -> None:
    again = read_again(shard, tmp_path, "ok", "unreadable-file", "ok", "not-finite")
    (rows,) = again.rows(shard)
    assert rows.keys == list("abcd")
    assert (rows.statuses == "ok").tolist() == [True, False, True, False]
    np.testing.assert_array_equal(rows.vectors, np.eye(DIM) * [[1], [0], [1], [0]])
    assert (again.dim, again.count([shard, shard])) == (DIM, 8)


def test_a_row_that_was_good_and_cannot_be_read_now_is_an_error(shard: Shard, tmp_path: Path) -> None:
    again = read_again(shard, tmp_path, "ok", "ok", "ok", "ok")
    (tmp_path / "a.parquet").write_bytes(b"another file")
    with pytest.raises(ReadError, match=r"a.parquet, row 0 was good .* now unreadable-file: .* has changed since"):
        list(again.rows(shard))


def test_a_shard_that_could_not_be_read_is_not_opened(shard: Shard, tmp_path: Path) -> None:
    again = read_again(shard, tmp_path, *["unreadable-file"] * 4)
    (tmp_path / "a.parquet").unlink()
    (rows,) = again.rows(shard)
    assert rows.statuses.tolist() == ["unreadable-file"] * 4
