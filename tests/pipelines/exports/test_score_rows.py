from pathlib import Path

import pytest

from pipelines.errors import CallerError
from pipelines.exports.choice import Choice
from pipelines.exports.score_rows import AT_ONCE, ScoreTables
from tests.conftest import write_tar
from tests.pipelines.exports.scored import FINGERPRINT, make_scan, planned_shards


def test_tables_come_in_the_order_of_the_plan_however_many_are_read_ahead(tmp_path: Path) -> None:
    count = 2 * AT_ONCE + 3
    (tmp_path / "data").mkdir()
    for number in range(count):
        write_tar(tmp_path / f"data/{number:03d}.tar", {"a.jpg": b"x"})
    scan, shards = make_scan(tmp_path, [tmp_path / "data"]), planned_shards([tmp_path / "data"]).shards
    tables = ScoreTables(scan, FINGERPRINT)
    found = list(tables.all_decided(shards, Choice("mcm"), ["id_label", "gone"]))
    assert [one.shard.id for one in found] == [shard.id for shard in shards]
    assert [one.rows["shard"].to_pylist() for one in found] == [[shard.id] for shard in shards]
    assert {"id_label", "is_ood_mcm"} < set(found[0].rows.column_names) and "gone" not in found[0].rows.column_names
    assert list(tables.all_decided(shards[:0], Choice("mcm"))) == []


def test_a_table_that_is_gone_damaged_or_of_another_scan_is_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "data.tar", {"a.jpg": b"x"})
    scan, (shard,) = make_scan(tmp_path, [tmp_path / "data.tar"]), planned_shards([tmp_path / "data.tar"]).shards
    with pytest.raises(CallerError, match=rf"scores/part-{shard.id}\.parquet is of another scan"):
        ScoreTables(scan, "another").read(shard, ["key"])
    path = tmp_path / f"scan/scores/part-{shard.id}.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CallerError, match=rf"cannot be read: scores/part-{shard.id}\.parquet"):
        ScoreTables(scan, FINGERPRINT).read(shard, ["key"])
    path.unlink()
    with pytest.raises(CallerError, match=rf"has no scores/part-{shard.id}\.parquet"):
        ScoreTables(scan, FINGERPRINT).schema(shard)
