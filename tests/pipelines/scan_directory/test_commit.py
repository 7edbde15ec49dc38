import io
import itertools

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.scan_directory.columns import TELEMETRY
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.layout import committed
from pipelines.storage import Directory
from tests.pipelines.made_scan import rows

ALL = pa.concat_tables([rows("a", [f"a{n}" for n in range(9)], bad=(2, 5)), rows("b", ["b0"]), rows("c", [])])


class Recorded(Directory):
    """A place in memory that remembers the order of what is put."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "puts", {})

    def put(self, name: str, content: bytes) -> None:
        vars(self)["puts"][name] = content


def commit(*tables: pa.Table) -> tuple[dict[str, bytes], Committer, list[str]]:
    output, told = Recorded("memory://recorded"), []
    committer = Committer(output, "f1", lambda shard, _: told.append(shard))
    for table in tables:
        committer.add(table)
    return vars(output)["puts"], committer, told


WHOLE = commit(ALL)[0]


def read(content: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(content))


@given(st.permutations(range(len(ALL))), st.lists(st.integers(0, len(ALL)), max_size=5), st.data())
def test_the_files_are_the_same_to_the_byte_however_the_rows_arrive(
    order: list[int], cuts: list[int], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(order), max_size=6))
    arrived = ALL.take(pa.array(order + again))
    bounds = [0, *sorted(cuts), len(arrived)]
    tables = [arrived.slice(start, end - start) for start, end in itertools.pairwise(bounds)]
    puts, committer, told = commit(*tables)
    assert puts == WHOLE
    assert sorted(told) == ["a", "b", "c"]
    committer.check_complete("abc")


def test_a_score_table_holds_every_record_in_order_and_no_telemetry() -> None:
    table = read(WHOLE["scores/part-a.parquet"])
    assert table["index"].to_pylist() == list(range(9))
    assert table["key"].to_pylist() == [f"a{n}" for n in range(9)]
    assert [n for n, status in enumerate(table["status"].to_pylist()) if status != "ok"] == [2, 5]
    assert not {*TELEMETRY, "embedding"} & set(table.column_names)
    assert table.schema.metadata == {b"oodscan.fingerprint": b"f1", b"oodscan.records": b"9"}


def test_an_embedding_table_holds_the_good_records() -> None:
    table = read(WHOLE["embeddings/part-a.parquet"])
    assert table.column_names == ["key", "shard", "index", "embedding"]
    assert table["index"].to_pylist() == [0, 1, 3, 4, 6, 7, 8]


def test_an_empty_shard_has_a_table_without_rows() -> None:
    table = read(WHOLE["scores/part-c.parquet"])
    assert (len(table), table.schema.metadata[b"oodscan.records"]) == (0, b"0")
    assert table.column_names == read(WHOLE["scores/part-a.parquet"]).column_names


def test_a_visible_score_has_its_embedding() -> None:
    for shard in "abc":
        names = list(WHOLE)
        assert names.index(f"embeddings/part-{shard}.parquet") < names.index(f"scores/part-{shard}.parquet")


def test_without_embeddings_there_are_scores_alone() -> None:
    assert list(commit(ALL.drop_columns("embedding"))[0]) == [f"scores/part-{shard}.parquet" for shard in "abc"]


@pytest.mark.parametrize("missing", [0, 4, 9])
def test_a_shard_that_lacks_a_row_or_its_end_is_not_committed(missing: int) -> None:
    kept = [row for row in range(len(ALL)) if row != missing]
    puts, committer, told = commit(ALL.take(pa.array(kept)))
    with pytest.raises(RuntimeError, match="rows are missing of 1 shards, a among them"):
        committer.check_complete("abc")
    assert told == ["b", "c"]
    assert "scores/part-a.parquet" not in puts


def test_no_rows_commit_nothing() -> None:
    assert commit(ALL.slice(0, 0))[0] == {}


def test_what_is_committed_is_what_scores_are_visible(tmp_path) -> None:
    output = Directory(str(tmp_path))
    assert committed(output) == set()
    for name in ("scores/part-x.y-0a1b2c3d.parquet", "scores/.part-2.parquet.ab12.tmp", "embeddings/part-3.parquet"):
        output.put(name, b"")
    assert committed(output) == {"x.y-0a1b2c3d"}
