from collections.abc import Mapping, Sequence

import pyarrow as pa
import pytest

from pipelines.scan_directory import manifest as manifest_module
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.finish import known_receipts
from pipelines.scan_directory.layout import committed_sizes
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.receipts import receipts_table
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


def known(output: Directory, sizes: Mapping[str, int] | None = None) -> Tally:
    return Manifest(output, "f1").read(committed_sizes(output) if sizes is None else sizes)


def test_a_manifest_tells_what_was_counted_whatever_files_it_lies_in(output: Directory) -> None:
    tally = written(output, IDS[:1], IDS[1:4], IDS[4:])
    assert len(output.names("manifest")) == 3
    assert known(output).described() == tally.described()
    assert known(output).shards() == set(IDS)


def test_in_the_end_there_is_one_file_that_tells_the_same(output: Directory) -> None:
    tally = written(output, IDS[:2], IDS[2:])
    manifest = Manifest(output, "f1")
    manifest.read(committed_sizes(output))
    manifest.replace(tally)
    assert len(output.names("manifest")) == 1
    assert known(output).described() == tally.described()


def test_a_replacement_that_was_cut_short_counts_nothing_twice(output: Directory) -> None:
    tally = written(output, IDS[:2], IDS[2:])
    before = {name: output.read(f"manifest/{name}") for name in output.names("manifest")}
    manifest = Manifest(output, "f1")
    manifest.read(committed_sizes(output))
    manifest.replace(tally)
    for name, content in before.items():
        output.put(f"manifest/{name}", content)
    assert known(output).described() == tally.described()


def test_receipts_are_written_when_there_are_many(output: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_module, "WRITE_AFTER", 2)
    manifest = Manifest(output, "f1")
    for shard in IDS[:3]:
        manifest.add(commit(output, [shard]))
    assert known(output).shards() == set(IDS[:2])


def change(output: Directory, what: str) -> None:
    if what == "a table is gone":
        output.remove("scores/part-s1.parquet")
    elif what == "a table has another size":
        output.put("scores/part-s1.parquet", output.read("scores/part-s1.parquet") + b"more")
    elif what == "damaged":
        (name,) = output.names("manifest")
        output.put(f"manifest/{name}", output.read(f"manifest/{name}")[:-9])
    elif what == "twice":
        (name,) = output.names("manifest")
        output.put("manifest/part-000007.parquet", output.read(f"manifest/{name}"))


@pytest.mark.parametrize("what", ["a table is gone", "a table has another size", "damaged", "twice"])
def test_a_manifest_that_is_wrong_is_dropped_and_the_tables_are_read(output: Directory, what: str) -> None:
    written(output, IDS)
    change(output, what)
    assert known(output).shards() == set()
    whole = set(IDS) - ({"s1"} if "table" in what else set())
    manifest, tally, _ = known_receipts(output, "f1", IDS)
    assert tally.shards() == whole
    assert tally.statuses == {"ok": 2 * len(whole), "unreadable-image": len(whole)}
    manifest.flush()
    assert known(output).shards() == whole or what == "a table has another size"


def test_the_manifest_of_another_scan_counts_for_nothing(output: Directory) -> None:
    written(output, IDS)
    assert Manifest(output, "f2").read(committed_sizes(output)).shards() == set()


def test_tables_that_the_manifest_does_not_tell_of_are_read(output: Directory) -> None:
    written(output, IDS[:3])
    commit(output, IDS[3:5])
    _, tally, _ = known_receipts(output, "f1", IDS)
    assert tally.shards() == set(IDS[:5])
    assert tally.records == 15
