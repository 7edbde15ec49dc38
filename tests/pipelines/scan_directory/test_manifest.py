import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.scan_directory import manifest as manifest_module
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.identity import Fingerprints
from pipelines.scan_directory.known import Known, known_shards
from pipelines.scan_directory.layout import FINGERPRINT_KEY, table_bytes
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.receipts import SCHEMA, receipts_table
from pipelines.scan_directory.summary import Tally
from pipelines.storage import Directory
from tests.pipelines.made_scan import rows

IDS = [f"s{number}" for number in range(6)]


@pytest.fixture
def output(tmp_path) -> Directory:
    return Directory(str(tmp_path))


def commit(output: Directory, ids: Sequence[str]) -> pa.Table:
    committer = Committer(output, "f1")
    return receipts_table(committer.commit(shard, rows(shard, [shard, "b", "c"], bad=(1,))) for shard in ids)


def written(output: Directory, *parts: Sequence[str]) -> Tally:
    """Commits shards, and writes a manifest file for each part of them. Returns the tally of all."""
    manifest, tally = Manifest(output, "f1"), Tally()
    for part in parts:
        receipts = commit(output, part)
        tally.add(receipts)
        manifest.add(receipts)
        manifest.flush()
    return tally


def told(output: Directory) -> Tally:
    return Manifest(output, "f1").told()


def known(output: Directory, embeddings: bool = False) -> Known:
    return known_shards(output, Fingerprints.one("f1"), IDS, embeddings)


def test_a_manifest_tells_what_was_counted_whatever_files_it_lies_in(output: Directory) -> None:
    tally = written(output, IDS[:1], IDS[1:4], IDS[4:])
    assert len(output.names("manifest")) == 3
    assert told(output).described() == tally.described()
    assert told(output).shards() == set(IDS)


def test_in_the_end_there_is_one_file_that_tells_the_same(output: Directory) -> None:
    tally = written(output, IDS[:2], IDS[2:])
    manifest = Manifest(output, "f1")
    manifest.told()
    manifest.replace(tally)
    assert len(output.names("manifest")) == 1
    assert told(output).described() == tally.described()


def test_a_replacement_that_was_cut_short_counts_nothing_twice(output: Directory) -> None:
    tally = written(output, IDS[:2], IDS[2:])
    before = {name: output.read(f"manifest/{name}") for name in output.names("manifest")}
    manifest = Manifest(output, "f1")
    manifest.told()
    manifest.replace(tally)
    for name, content in before.items():
        output.put(f"manifest/{name}", content)
    assert told(output).described() == tally.described()


def test_receipts_are_written_when_there_are_many(output: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_module, "WRITE_AFTER", 2)
    manifest = Manifest(output, "f1")
    for shard in IDS[:3]:
        manifest.add(commit(output, [shard]))
    assert told(output).shards() == set(IDS[:2])


CHANGED = "it is not the file that was committed"
TABLE = "scores/part-s1.parquet"


def table_of(output: Directory, name: str = TABLE) -> pa.Table:
    return pq.read_table(io.BytesIO(output.read(name)))


def put(output: Directory, table: pa.Table, name: str = TABLE) -> None:
    output.put(name, table_bytes(table, table.schema.metadata or {}))


def edited(table: pa.Table, **columns: Any) -> pa.Table:
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values, table.schema.field(name).type))
    return table


def damage(output: Directory, what: str) -> None:
    content, table = output.read(TABLE), table_of(output)
    if what == "cut":
        output.put(TABLE, content[:-9])
    elif what == "empty":
        output.put(TABLE, b"")
    elif what == "a flipped byte":
        output.put(TABLE, content[:-200] + bytes([content[-200] ^ 255]) + content[-199:])
    elif what == "of another scan":
        put(output, table.replace_schema_metadata({**table.schema.metadata, FINGERPRINT_KEY: b"f2"}))
    elif what == "of another shard":
        output.put(TABLE, output.read("scores/part-s2.parquet"))
    elif what == "edited":
        put(output, edited(table, score_mcm=[0.9, None, 0.9]))
    elif what == "a row too few":
        put(output, table.slice(1))
    elif what == "in another order":
        put(output, table.take([2, 1, 0]))
    elif what == "no embeddings":
        output.remove("embeddings/part-s1.parquet")
    elif what == "cut embeddings":
        output.put("embeddings/part-s1.parquet", output.read("embeddings/part-s1.parquet")[:-9])


DAMAGES = ("cut", "empty", "a flipped byte", "of another scan", "of another shard", "edited", "a row too few",
           "in another order", "no embeddings", "cut embeddings")  # fmt: skip


@pytest.mark.parametrize("told_of", [True, False])
@pytest.mark.parametrize("what", DAMAGES)
def test_a_shard_whose_files_are_not_whole_is_done_again_and_named(output: Directory, what: str, told_of: bool) -> None:
    if what == "edited" and not told_of:
        pytest.skip("of what no manifest tells, a changed value is not noticed")
    if told_of:
        written(output, IDS)
    else:
        commit(output, IDS)
    damage(output, what)
    found = known(output, embeddings=True)
    assert found.tally.shards() == set(IDS) - {"s1"}
    assert found.tally.statuses == {"ok": 10, "unreadable-image": 5}
    assert found.again == {"s1"}
    assert found.damaged["s1"].startswith(("scores/part-s1.parquet: ", "embeddings/part-s1.parquet: "))
    assert Committer(output, "f1", again=found.again).known("s1") is None
    commit(output, ["s1"])
    assert known(output, embeddings=True).tally.shards() == set(IDS)


def test_a_file_of_the_same_size_and_of_later_is_read(output: Directory) -> None:
    written(output, IDS)
    output.put(TABLE, output.read(TABLE))
    assert not known(output).damaged
    content = output.read(TABLE)
    output.put(TABLE, content[:100] + b"\0" + content[101:])
    assert known(output).damaged == {"s1": f"{TABLE}: {CHANGED}"}


def test_a_finished_scan_is_known_by_its_manifest_alone(output: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    written(output, IDS)
    read = Directory.read
    names = list[str]()
    monkeypatch.setattr(Directory, "read", lambda self, name: names.append(name) or read(self, name))
    assert known(output, embeddings=True).tally.shards() == set(IDS)
    assert [name for name in names if not name.startswith("manifest/")] == []


def change(output: Directory, what: str) -> None:
    (name,) = output.names("manifest")
    content = output.read(f"manifest/{name}")
    if what == "damaged":
        output.put(f"manifest/{name}", content[:-9])
    elif what == "twice":
        output.put("manifest/part-000007.parquet", content)
    elif what == "nulls":
        nulls = pa.Table.from_pylist([{"shard": "s1"}], SCHEMA)
        output.put(f"manifest/{name}", table_bytes(nulls, {FINGERPRINT_KEY: "f1"}))
    elif what == "other columns":
        output.put(f"manifest/{name}", table_bytes(pa.table({"shard": ["s1"]}), {FINGERPRINT_KEY: "f1"}))
    elif what == "another name":
        output.put("manifest/part-one.parquet", content)


@pytest.mark.parametrize("what", ["damaged", "twice", "nulls", "other columns", "another name"])
def test_a_manifest_that_is_wrong_is_dropped_and_the_tables_are_read(output: Directory, what: str) -> None:
    tally = written(output, IDS)
    change(output, what)
    found = known(output)
    assert found.tally.described() == tally.described()
    assert not found.again
    assert found.manifest
    found.manifest.flush()
    assert told(output).described() == tally.described()


def test_a_table_that_is_gone_is_missing(output: Directory) -> None:
    written(output, IDS)
    output.remove(TABLE)
    assert known(output).tally.shards() == set(IDS) - {"s1"}


def test_the_manifest_of_another_scan_counts_for_nothing(output: Directory) -> None:
    written(output, IDS)
    assert Manifest(output, "f2").told().shards() == set()


def test_tables_that_the_manifest_does_not_tell_of_are_read(output: Directory) -> None:
    written(output, IDS[:3])
    commit(output, IDS[3:5])
    found = known(output)
    assert found.tally.shards() == set(IDS[:5])
    assert found.tally.records == 15
