"""Exports on Ray: of a scan made by hand, of a real one, and by the command."""

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner, Result

from pipelines.commands.export import export as command
from pipelines.config.pools import EncodePool, ScorePool
from pipelines.config.scan import Read, Scan
from pipelines.errors import CallerError
from pipelines.exports.export import Exported, export
from pipelines.exports.request import Asked
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.records import records
from pipelines.scan_directory.layout import shard_file
from pipelines.scans.scan import scan
from pipelines.storage import Directory
from tests.conftest import Storage, write_tar
from tests.pipelines.exports.scored import READ, make_scan, planned_shards, put_scores

POOL = ScorePool(workers=2, cpus=1)
UIDS = [f"{number:032x}" for number in (7, 2**100, 3)]

pytestmark = pytest.mark.usefixtures("ray_session")


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def real(dataset: Path, bank_directory: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """A scan of two tars, a table and a folder by the bundled model."""
    output = tmp_path_factory.mktemp("real") / "scan"
    read, pool = Read(images_per_shard=12), EncodePool(workers=1)
    settled = {"max_bad_fraction": 0.05, "read": read, "encode": pool, "method": ("max-cos",)}
    chosen = Scan(input=(str(dataset),), labels=str(bank_directory), output=str(output), **settled)
    scan(chosen, {})
    return chosen


def score_rows(chosen: Scan) -> list[dict[str, Any]]:
    """All rows of the score tables, in the order of the plan."""
    shards = plan_images(chosen.input, chosen.read, {}).shards
    return [
        row
        for shard in shards
        for row in pq.read_table(f"{chosen.output}/{shard_file('scores', shard.id)}").to_pylist()
    ]


def test_a_real_scan_is_exported_by_the_command_and_read_again_it_holds_what_was_kept(
    real: Scan, tmp_path: Path
) -> None:
    rows = score_rows(real)
    median = float(np.median([row["score_max_cos"] for row in rows if row["status"] == "ok"]))
    arguments = [real.output, "--output", str(tmp_path), "--below", repr(median), "--shards", "--fiftyone", "--json"]
    ended = run(*arguments, "--by", "max-cos")
    assert ended.exit_code == 0, ended.output
    kept = [row["key"] for row in rows if row["status"] == "ok" and row["score_max_cos"] >= median]
    found = json.loads(ended.stdout)
    assert found["kept"]["records"] == found["copies"]["images"] == len(kept)
    assert found["copies"]["files"] == 6  # two tars, the table, and the folder in three slices
    assert pq.read_table(tmp_path / "keep.parquet")["key"].to_pylist() == kept
    copies = plan_images([str(tmp_path / "shards")], Read(), {})
    again = [record for shard in copies.shards for record in records(shard, Read(), {})]
    assert {record.status for record in again} == {"ok"}
    assert sorted(record.key for record in again) == sorted(key.removesuffix(".webp") for key in kept)
    with tarfile.open(tmp_path / "shards/shard-0.tar") as archive:
        of_first = [key for key in kept if key.startswith("0-")]
        assert archive.getnames() == [f"{key}.{suffix}" for key in of_first for suffix in ("png", "json")]
    ended = run(*arguments, "--by", "max-cos")
    assert json.loads(ended.stdout)["copies"]["there_before"] == 6


def test_the_flags_of_a_scan_decide_if_nothing_else_is_said(real: Scan, tmp_path: Path) -> None:
    ended = run(real.output, "--output", str(tmp_path), "--lists", "text")
    assert ended.exit_code == 0, ended.output
    dropped = [row["key"] for row in score_rows(real) if row["status"] != "ok" or row["is_ood_max_cos"]]
    assert (tmp_path / "drop.txt").read_text().splitlines() == dropped


def test_an_export_lies_on_any_storage(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "local" / "input").mkdir(parents=True)
    write_tar(tmp_path / "local/input/data.tar", {"a.jpg": b"x" * 3000, "bad.jpg": b"x"})
    url = storage.upload(tmp_path / "local/input", "input")
    made = make_scan(tmp_path / "local", [url], options=storage.options)
    scan_url = storage.upload(Path(made.url), "scan")
    asked = Asked(scan_url, f"{storage.root}/out", by="mcm", shards=True, lists=("text", "parquet"))
    found = export(asked, storage.options, pool=POOL)
    output = Directory(f"{storage.root}/out", storage.options)
    assert output.read("keep.txt") == b"a\n"
    assert output.names("shards") == ["data.tar"]
    assert (found.described()["copies"]["images"], found.problems) == (1, [])
    assert export(asked, storage.options, pool=POOL).receipts[0].there


def damaged(tmp_path: Path) -> tuple[Directory, list[Path]]:
    """A scan of three tars: of the second, the score table tells of other records; the third has changed since."""
    inputs = [tmp_path / f"{name}.tar" for name in "abc"]
    for path in inputs:
        write_tar(path, {f"{path.stem}.jpg": b"x"})
    made, (_, second, _) = make_scan(tmp_path, inputs), planned_shards(inputs).shards
    write_tar(tmp_path / "other.tar", {"other.jpg": b"x"})
    (other,) = planned_shards([tmp_path / "other.tar"]).shards
    put_scores(made, second, list(records(other, READ, {})))
    write_tar(inputs[2], {"c.jpg": b"x", "d.jpg": b"y" * 20000})
    return made, inputs


def test_what_cannot_be_copied_is_said_and_the_rest_is_copied(tmp_path: Path) -> None:
    made, _ = damaged(tmp_path)
    ended = run(made.url, "--output", str(tmp_path / "out"), "--by", "mcm", "--shards")
    assert ended.exit_code == 4
    assert [path.name for path in (tmp_path / "out/shards").iterdir()] == ["a.tar"]
    assert "b.tar: record 0 is 'b' in the tar, and 'other' in the score table" in ended.stderr
    assert "c.tar has changed since it was planned" in ended.stderr
    assert "copies  1 files" in ended.stdout


def test_input_that_has_changed_is_the_callers_mistake(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"a.jpg": b"x"})
    made = make_scan(tmp_path, [tmp_path / "a.tar"])
    write_tar(tmp_path / "a.tar", {"a.jpg": b"x", "b.jpg": b"y" * 20000})
    ended = run(made.url, "--output", str(tmp_path / "out"), "--by", "mcm", "--shards")
    assert ended.exit_code == 2
    assert ended.stderr.count("not exported: ") == 1


def exported_uids(tmp_path: Path, members: dict[str, bytes]) -> Exported:
    write_tar(tmp_path / "data.tar", members)
    made = make_scan(tmp_path, [tmp_path / "data.tar"])
    return export(Asked(made.url, str(tmp_path / "out"), by="mcm", lists=("datacomp",)), pool=POOL)


def test_datacomps_list_holds_the_sorted_uids_of_what_is_kept(tmp_path: Path) -> None:
    members = {f"{uid}.jpg": b"x" for uid in UIDS}
    members |= {"bad.jpg": b"x", "named.jpg": b"x", "named.json": json.dumps({"uid": "f" * 32}).encode()}
    assert exported_uids(tmp_path, members).files == ["keep.npy"]
    expected = [(0, 3), (0, 7), (2**36, 0), (2**64 - 1, 2**64 - 1)]
    assert np.load(tmp_path / "out/keep.npy").tolist() == expected


def test_a_record_without_a_uid_is_a_mistake_and_leaves_no_list(tmp_path: Path) -> None:
    with pytest.raises(
        CallerError, match=r"--lists datacomp: the key of record 0 of data-.*, 'a', is no 32 hexadecimal"
    ):
        exported_uids(tmp_path, {"a.jpg": b"x", f"{UIDS[0]}.jpg": b"x"})
    assert not (tmp_path / "out/keep.npy").exists()


def test_a_dry_run_prints_the_counts_of_every_shard(tmp_path: Path) -> None:
    write_tar(tmp_path / "data.tar", {"a.jpg": b"x" * 3000, "bad.jpg": b"x"})
    made, (shard,) = make_scan(tmp_path, [tmp_path / "data.tar"]), planned_shards([tmp_path / "data.tar"]).shards
    ended = run(made.url, "--by", "mcm", "--dry-run")
    assert ended.exit_code == 0
    first, kept, flagged = ended.stdout.splitlines()
    assert first.split(None, 1) == [shard.id, "flagged 1 (1 bytes), kept 1 (3,000 bytes)"]
    assert kept.split(None, 1) == ["kept", "1 records, 3,000 bytes"]
    assert flagged.split(None, 1) == ["flagged", "1 records, 1 bytes"]
