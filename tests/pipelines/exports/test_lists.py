import io
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import CallerError
from pipelines.exports.choice import Choice, Decided
from pipelines.exports.lists import SCHEMA, list_files, list_rows, parquet_list, writing_lists
from pipelines.inputs.plan import Shard
from pipelines.storage import Directory

CHOICE = Choice("mcm")


def decided(shard: str, keys: Sequence[str | None], dropped: Sequence[str | None]) -> Decided:
    """A shard of these keys. `dropped`: why each is, None if it is kept."""
    count = len(keys)
    rows = pa.table(
        {
            "key": pa.array(keys, pa.string()),
            "shard": pa.array([shard] * count, pa.string()),
            "index": pa.array(range(count), pa.int64()),
            "url": pa.array(["file:///data.tar"] * count, pa.string()),
            "score_mcm": pa.array([0.5] * count, pa.float64()),
        }
    )
    return Decided(Shard(shard, "tar", ["file:///data.tar"], [], [0], ""), rows, pa.array(dropped, pa.string()))


def write(output: Path, kinds: Sequence[str], *shards: Decided) -> None:
    with writing_lists(Directory(str(output)), kinds, CHOICE) as add:
        for shard in shards:
            add(shard)


def test_a_parquet_list_has_a_row_for_each_record_in_order(tmp_path: Path) -> None:
    shards = (
        decided("one", ["a", "b", "c"], [None, "flagged", None]),
        decided("two", ["d", ""], [None, "damaged-archive"]),
    )
    write(tmp_path, ["parquet"], *shards)
    keep, drop = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("keep", "drop"))
    assert keep.schema.equals(SCHEMA) and drop.schema.equals(SCHEMA)
    assert keep["key"].to_pylist() == ["a", "c", "d"]
    assert keep["index"].to_pylist() == [0, 2, 0]
    assert drop.to_pylist() == [
        {"key": "b", "shard": "one", "index": 1, "url": "file:///data.tar", "score": 0.5, "reason": "flagged"},
        {"key": "", "shard": "two", "index": 1, "url": "file:///data.tar", "score": 0.5, "reason": "damaged-archive"},
    ]


def test_a_text_list_has_a_key_a_line_and_no_damage(tmp_path: Path) -> None:
    shard = decided("one", ["a b", "ä", "", None, "c"], [None, "flagged", "damaged-archive", "missing-key", None])
    write(tmp_path, ["text"], shard)
    assert (tmp_path / "keep.txt").read_text() == "a b\nc\n"
    assert (tmp_path / "drop.txt").read_text() == "ä\n"


@pytest.mark.parametrize(("key", "reason"), [("a\nb", None), ("a\rb", "flagged"), ("", None)])
def test_a_key_that_is_no_line_is_named_and_no_list_is_left(tmp_path: Path, key: str, reason: str | None) -> None:
    shard = decided("one", ["x", key], [None, reason])
    with pytest.raises(CallerError, match=r"--lists text: the key of record 1 of one, .* use --lists parquet"):
        write(tmp_path, ["parquet", "text"], shard)
    assert list(tmp_path.iterdir()) == []
    write(tmp_path, ["parquet"], shard)


def test_lists_of_nothing_are_whole(tmp_path: Path) -> None:
    write(tmp_path, ["parquet", "text"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(list_files(["parquet", "text", "datacomp"]))
    assert len(pq.read_table(tmp_path / "keep.parquet")) == 0


def test_small_shards_share_row_groups_and_no_more_is_held() -> None:
    file = io.BytesIO()
    with parquet_list(file, rows_per_group=4) as add:
        for number in range(5):
            add(list_rows(decided(str(number), ["a", "b"], [None, None]), CHOICE))
    metadata = pq.read_metadata(file)
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [4, 4, 2]


def test_a_rescoring_has_no_urls_unless_its_tables_have() -> None:
    shard = decided("one", ["a"], [None])
    for rows in (shard.rows.drop_columns("url"), shard.rows.set_column(3, "url", pa.array([7]))):
        found = list_rows(Decided(shard.shard, rows, shard.reasons), CHOICE)
        assert found["url"].to_pylist() == [None]
        assert found.schema.equals(SCHEMA)
