"""What has not changed since last night's scan is taken over, and the outcome is that of a scan of everything."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import compute

from ood_core.methods import AdaNeg, Order
from pipelines.config.memory import Memory
from pipelines.config.pools import EncodePool
from pipelines.config.rescore import ReadEmbeddings
from pipelines.config.scan import Scan
from pipelines.errors import CallerError
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.plan import Shard
from pipelines.runtime.progress import quiet
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.receipts import receipts_table
from pipelines.scan_directory.record import ScanRecord
from pipelines.scan_directory.run import Run
from pipelines.scan_directory.summary import Tally
from pipelines.scans.rescore import rescore
from pipelines.scans.scan import scan
from pipelines.scans.since import Since, held_against, read_since
from pipelines.storage import Directory
from pipelines.verify.verify import verify
from tests.conftest import Storage, encoded, picture, write_tar
from tests.pipelines import made_scan
from tests.pipelines.in_plan_order import parts, score_rows
from tests.pipelines.scans import in_kinds

ROWS = 40
STATIC: dict[str, Any] = {
    "method": ("neglabel", "mcm"), "param": {"neglabel.groups": 3}, "threshold": {"neglabel": 0.25},
}  # fmt: skip
CONSENSUS: dict[str, Any] = {"keep_encoded": True, "threshold": {"neglabel": 0.25}}
LEARNING: dict[str, Any] = {
    "method": ("adaneg",), "param": {"adaneg.memory_length": 4}, "keep_encoded": True, "threshold": {"adaneg": 0.25},
}  # fmt: skip
UNCHANGED = 5


def write(place: Path, name: str, part: int) -> None:
    pq.write_table(in_kinds.images().slice(part * ROWS, ROWS), place / f"images/{name}.parquet")


def run(place: Path, output: Path | str, say: Callable[[str], Any] = quiet, **changes: Any) -> dict[str, Any]:
    return rescore(in_kinds.asked(place, str(output), **changes), say=say)


@pytest.fixture(scope="module")
def place(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rescorings of six tables on Monday; one of them has changed by Tuesday, one is gone and one is new.

    `monday`, `monday-consensus`: these; `tuesday`, `tuesday-consensus`: of everything on Tuesday.
    """
    place = tmp_path_factory.mktemp("nights")
    in_kinds.fill(place)
    (place / "images/all.parquet").unlink()
    for part, name in enumerate(["a", "changed", "b", "gone", "c", "d", "e"]):
        write(place, name, part)
    run(place, "monday", **STATIC)
    run(place, "monday-consensus", **CONSENSUS)
    write(place, "changed", 2)
    (place / "images/gone.parquet").unlink()
    write(place, "new", 3)
    run(place, "tuesday", **STATIC)
    run(place, "tuesday-consensus", **CONSENSUS)
    return place


def files(output: Path, *folders: str) -> dict[str, bytes]:
    """The scan's files but for those that tell of its runs; only those in `folders`, if they are named."""
    told = ("scan.json", "summary.json", "thresholds.json", "manifest/")
    found = {path.relative_to(output).as_posix(): path for path in output.rglob("*") if path.is_file()}
    wanted = {name: path for name, path in found.items() if not name.startswith(told)}
    return {name: path.read_bytes() for name, path in wanted.items() if not folders or name.startswith(folders)}


def told(output: Path) -> dict[str, Any]:
    """The summary without what the last run took, and without where thresholds come from."""
    return json.loads((output / "summary.json").read_text()) | {"last_run": None}


def check_same(found: Path, expected: Path) -> None:
    assert files(found) == files(expected)
    assert told(found) == told(expected)
    assert verify(str(found), {}, tables=True).problems == []


@pytest.fixture(scope="module")
def tonight(place: Path) -> Path:
    """Tuesday's rescoring with Monday's at hand, and what it said, in `said.txt` beside it."""
    said = list[str]()
    run(place, "tonight", said.append, since=str(place / "monday"), **STATIC)
    (place / "said.txt").write_text("\n".join(said))
    return place / "tonight"


def test_what_has_not_changed_is_taken_over_and_the_outcome_is_that_of_a_scan_of_everything(
    place: Path, tonight: Path
) -> None:
    check_same(tonight, place / "tuesday")
    last_run = json.loads((tonight / "summary.json").read_text())["last_run"]
    assert last_run["taken_over"] == UNCHANGED
    said = (place / "said.txt").read_text()
    assert f"since {place}/monday: {UNCHANGED} shards unchanged, 1 new, 1 changed, 1 gone\n" in said
    assert f"{UNCHANGED} shards taken over from {place}/monday\n" in said


def test_a_receipt_of_what_was_taken_over_tells_of_no_work(tonight: Path) -> None:
    record = ScanRecord.read(Directory(str(tonight)))
    receipts = pa.concat_tables(Manifest(record.directory, record.fingerprint).told().receipts).to_pylist()
    worked = {receipt["shard"].rpartition("-")[0] for receipt in receipts if receipt["score_s"] is not None}
    assert worked == {"changed", "new"}


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """A file of which only size, version and footer are as they were."""
    before, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:4] + bytes(2000) + content[2004:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    try:
        yield
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_of_what_is_taken_over_nothing_is_read(place: Path, tmp_path: Path) -> None:
    with unreadable(place / "images/c.parquet"):
        run(place, tmp_path / "with", since=str(place / "monday"), **STATIC)
        everything = run(place, tmp_path / "without", max_bad_fraction=1.0, max_bad_shards=9, **STATIC)
    assert everything["bad_shards"] == 1
    check_same(tmp_path / "with", place / "tuesday")


def test_the_same_command_again_does_nothing(place: Path, tonight: Path) -> None:
    before = files(tonight)
    assert run(place, tonight, since=str(place / "monday"), **STATIC)["last_run"] == {"images": 0}
    assert files(tonight) == before


@pytest.mark.parametrize(
    "damage", [lambda path: path.write_bytes(path.read_bytes()[:-9]), Path.unlink], ids=["cut", "gone"]
)
def test_a_table_of_last_night_that_is_not_whole_is_made_again(
    place: Path, tmp_path: Path, damage: Callable[[Path], Any]
) -> None:
    monday = Path(shutil.copytree(place / "monday", tmp_path / "monday"))
    damage(monday / "scores" / next(part for part in parts(monday) if part.startswith("part-c-")))
    summary = run(place, tmp_path / "tonight", since=str(monday), **STATIC)
    assert summary["last_run"]["taken_over"] == UNCHANGED - 1
    check_same(tmp_path / "tonight", place / "tuesday")


def test_a_run_that_was_cut_short_takes_over_what_is_left(place: Path, tmp_path: Path, tonight: Path) -> None:
    output = Path(shutil.copytree(tonight, tmp_path / "tonight"))
    for name in ("c", "d", "new"):
        (output / "scores" / next(part for part in parts(output) if part.startswith(f"part-{name}-"))).unlink()
    summary = run(place, output, since=str(place / "monday"), **STATIC)
    assert summary["last_run"]["taken_over"] == 2
    check_same(output, place / "tuesday")


def test_a_run_that_was_cut_short_behind_what_it_took_over_does_the_rest(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_short(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "receive", cut_short)
    with pytest.raises(KeyboardInterrupt):
        run(place, tmp_path / "tonight", since=str(place / "monday"), **STATIC)
    monkeypatch.undo()
    assert len(list((tmp_path / "tonight/scores").iterdir())) == UNCHANGED
    summary = run(place, tmp_path / "tonight", since=str(place / "monday"), **STATIC)
    assert "taken_over" not in summary["last_run"]
    assert summary["last_run"]["images"] == 2 * ROWS
    check_same(tmp_path / "tonight", place / "tuesday")


def test_given_thresholds_are_carried_over_and_estimates_are_made_anew(place: Path, tmp_path: Path) -> None:
    settled: dict[str, Any] = STATIC | {"threshold": {}}
    summary = run(place, tmp_path / "tonight", since=str(place / "monday"), **settled)
    found = {name: one["threshold"] for name, one in summary["flags"]["methods"].items()}
    expected = told(place / "tuesday")["flags"]["methods"]
    assert found["neglabel"] == expected["neglabel"]["threshold"] | {"source": "carried", "of": f"{place}/monday"}
    assert found["mcm"] == expected["mcm"]["threshold"]
    assert found["mcm"]["source"] == "estimated"
    assert found["mcm"]["value"] != told(place / "monday")["flags"]["methods"]["mcm"]["threshold"]["value"]
    assert score_rows(tmp_path / "tonight").equals(score_rows(place / "tuesday"))


@pytest.fixture(scope="module")
def tonight_by_neighbours(place: Path) -> Path:
    """Tuesday's rescoring by consensus with Monday's at hand."""
    run(place, "tonight-consensus", since=str(place / "monday-consensus"), **CONSENSUS)
    return place / "tonight-consensus"


def test_where_scores_depend_on_all_images_the_encoded_rows_are_taken_over(
    place: Path, tonight_by_neighbours: Path
) -> None:
    summary = json.loads((tonight_by_neighbours / "summary.json").read_text())
    assert summary["last_run"]["taken_over"] == UNCHANGED
    assert {name.partition("/")[0] for name in files(tonight_by_neighbours)} == {
        "_SUCCESS", "consensus", "encoded", "gallery.parquet", "plan.parquet", "scores",
    }  # fmt: skip
    check_same(tonight_by_neighbours, place / "tuesday-consensus")


def test_a_night_may_go_on_from_what_was_taken_over_itself(
    place: Path, tmp_path: Path, tonight_by_neighbours: Path
) -> None:
    summary = run(place, tmp_path / "again", since=str(tonight_by_neighbours), **CONSENSUS)
    assert summary["last_run"]["taken_over"] == 7
    check_same(tmp_path / "again", place / "tuesday-consensus")


def test_a_night_that_begins_with_last_nights_memory_takes_over_the_encoded_rows(place: Path) -> None:
    run(place, "monday-adaneg", **LEARNING)
    nightly: dict[str, Any] = LEARNING | {"memory": Memory(uri=str(place / "monday-adaneg"))}
    run(place, "tuesday-adaneg", **nightly)
    summary = run(place, "tonight-adaneg", since=str(place / "monday-adaneg"), **nightly)
    assert summary["last_run"]["taken_over"] == len(parts(place / "monday-adaneg"))
    found, expected = (files(place / name) for name in ("tonight-adaneg", "tuesday-adaneg"))
    held_back = {name for name in expected if name.startswith("memory/candidates/")}  # as the memory was full by then
    assert found.keys() == expected.keys()
    assert {name for name in found if found[name] != expected[name]} <= held_back
    assert told(place / "tonight-adaneg") == told(place / "tuesday-adaneg")
    assert verify(str(place / "tonight-adaneg"), {}, tables=True).problems == []


def test_a_frozen_memory_is_what_rows_depend_on(place: Path, tmp_path: Path) -> None:
    frozen = list[dict[str, Any]]()
    for rows in (20, 40):
        memory = Memory(uri=str(tmp_path / f"of-{rows}"), freeze=True)
        run(place, tmp_path / f"of-{rows}", **LEARNING, read=ReadEmbeddings(rows_per_shard=rows))
        frozen.append(LEARNING | {"memory": memory})
    run(place, tmp_path / "monday", **frozen[0])
    with pytest.raises(CallerError, match=r"--since .* is another scan: memory was '.*' and is now '.*'; scan without"):
        run(place, tmp_path / "tonight", since=str(tmp_path / "monday"), **frozen[1])
    again = run(place, tmp_path / "again", since=str(tmp_path / "monday"), **frozen[0])
    assert again["last_run"]["taken_over"] == len(parts(tmp_path / "monday"))


def test_without_encoded_rows_everything_is_done_and_that_is_said(place: Path, tmp_path: Path) -> None:
    said = list[str]()
    monday = Path(shutil.copytree(place / "monday-consensus", tmp_path / "monday"))
    shutil.rmtree(monday / "encoded")
    settled: dict[str, Any] = CONSENSUS | {"keep_encoded": False}
    summary = run(place, tmp_path / "tonight", said.append, since=str(monday), **settled)
    assert "taken_over" not in summary["last_run"]
    assert sum("nothing is taken over: scores depend on all images, and it has not kept" in line for line in said) == 1
    assert not (tmp_path / "tonight/encoded").exists()
    expected = files(place / "tuesday-consensus")
    assert files(tmp_path / "tonight") == {
        name: content for name, content in expected.items() if not name.startswith("encoded/")
    }


@pytest.mark.parametrize("storage", ["moto"], indirect=True)
def test_a_storage_takes_over_from_itself(place: Path, storage: Storage) -> None:
    monday = storage.upload(place / "monday", "monday")
    chosen = in_kinds.asked(place, "", since=monday, **STATIC).model_copy(update={"output": f"{storage.root}/tonight"})
    assert rescore(chosen, storage.options)["last_run"]["taken_over"] == UNCHANGED
    output = Directory(chosen.output, storage.options)
    assert {f"scores/{name}": output.read(f"scores/{name}") for name in output.names("scores")} == files(
        place / "tuesday", "scores/"
    )
    assert verify(chosen.output, storage.options, tables=True).problems == []


@pytest.mark.parametrize(
    ("since", "changes", "said"),
    [
        ("tuesday", {}, "--since '{place}/tuesday' is --output itself: the same command goes on where"),
        ("monday", {"param": {}}, "--since '{place}/monday' is another scan: neglabel.groups was 3 and is now 100;"),
        ("monday", {"method": ("neglabel",)}, "is another scan: method was 'neglabel, mcm' and is now 'neglabel';"),
        ("monday", {"labels": "{place}/other"}, "--since '{place}/monday' is another scan: labels was '"),
        ("monday-consensus", {}, "is another scan: method was 'neglabel, consensus' and is now 'neglabel, mcm'"),
        ("begun", {}, "--since '{place}/begun' is a scan that has not ended: it has no summary.json"),
        ("nowhere", {}, "--since '{place}/nowhere' "),
        ("images", {}, "--since '{place}/images' "),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_over_from_is_refused_and_named(
    place: Path, since: str, changes: dict[str, Any], said: str
) -> None:
    if since == "begun":
        shutil.copytree(place / "monday", place / "begun", ignore=shutil.ignore_patterns("summary.json"))
    if "labels" in changes:
        in_kinds.bank().save(place / "other")
        replace(in_kinds.bank(), id_count=5).save(place / "other")
    chosen = in_kinds.asked(place, "tuesday" if since == "tuesday" else "refused", since=str(place / since), **STATIC)
    update = {name: value.format(place=place) if name == "labels" else value for name, value in changes.items()}
    with pytest.raises(CallerError) as refused:
        rescore(chosen.model_copy(update=update))
    assert said.format(place=place) in str(refused.value)
    assert not (place / "refused/scan.json").exists()


def images(root: Path, bank: Path, output: str, **changes: Any) -> Scan:
    settled: dict[str, Any] = {"encode": EncodePool(workers=1), "embeddings": True, "threshold": {"neglabel": 0.5}}
    return Scan(
        input=(str(root / "in"),), labels=str(bank), output=str(root / output), method=("neglabel",),
        **settled | changes,
    )  # fmt: skip


def tar(root: Path, name: str, *numbers: int) -> None:
    write_tar(root / f"in/{name}.tar", {f"{number}.png": encoded(picture(number)) for number in numbers})


def test_a_scan_of_images_takes_over_scores_and_embeddings(
    bank_directory: Path, tmp_path: Path, ray_session: None
) -> None:
    (tmp_path / "in").mkdir()
    for number, name in enumerate(["a", "changed", "gone"]):
        tar(tmp_path, name, *range(4 * number, 4 * number + 4))
    scan(images(tmp_path, bank_directory, "monday"))
    tar(tmp_path, "changed", 20, 21, 22, 23, 24)
    (tmp_path / "in/gone.tar").unlink()
    tar(tmp_path, "new", 30, 31, 32, 33)
    scan(images(tmp_path, bank_directory, "tuesday"))
    chosen = images(tmp_path, bank_directory, "tonight", since=str(tmp_path / "monday"))
    with unreadable(tmp_path / "in/a.tar"):
        assert scan(chosen)["last_run"]["taken_over"] == 1
        both = ("scores/", "embeddings/")
        assert files(tmp_path / "tonight", *both) == files(tmp_path / "tuesday", *both)
    (tmp_path / "tonight/gallery.parquet").unlink()  # its pictures are read again
    scan(chosen)
    check_same(tmp_path / "tonight", tmp_path / "tuesday")
    assert verify(str(tmp_path / "tonight"), {}, reread=True).problems == []


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A scan of five images in two slices and an empty tar, made by hand, in `out`."""
    made_scan.make_scan(tmp_path)
    return tmp_path


def planned(root: Path, shards: Sequence[Shard] | None = None) -> Since:
    config = made_scan.configured(root).model_copy(update={"output": str(root / "tonight"), "since": f"{root}/out"})
    record = read_since(config, {})
    assert record is not None
    return held_against(record, shards or plan_images(config.input, config.read, {}).shards)


def names(shards: Sequence[Shard]) -> list[str]:
    return [shard.id.rpartition("-")[0] for shard in shards]


def test_everything_is_unchanged_that_nobody_has_touched(made: Path) -> None:
    since = planned(made)
    assert names(since.unchanged) == ["empty", "data", "data"]
    assert (since.changed, since.gone, since.new) == ([], [], 0)
    assert since.usable(since.record.fingerprints, "scores") == since.unchanged


@pytest.mark.parametrize(
    ("order", "usable"), [("streaming", {"scores": 0, "encoded": 0}), ("transductive", {"scores": 0, "encoded": 3})]
)
def test_where_a_shards_rows_depend_on_those_before_nothing_can_be_used(
    made: Path, order: Order, usable: dict[str, int]
) -> None:
    shutil.copytree(made / "out/scores", made / "out/encoded")
    since = planned(made)
    record = replace(since.record, methods={"adaneg": AdaNeg(order=order)})
    found = replace(since, record=record)
    assert {folder: len(found.usable(record.fingerprints, folder)) for folder in usable} == usable


def test_a_file_of_another_version_or_size_makes_its_shard_a_changed_one(made: Path) -> None:
    os.utime(made / "data/4.jpg", (1, 1))
    (made / "data/empty.tar").write_bytes(bytes(20480))
    since = planned(made)
    assert len(since.unchanged) == 1
    assert [shard.rpartition("-")[0] for shard in since.changed] == ["empty", "data"]


def test_what_is_new_and_gone_is_counted(made: Path) -> None:
    (made / "data/empty.tar").rename(made / "data/another.tar")
    since = planned(made)
    assert [shard.rpartition("-")[0] for shard in since.gone] == ["empty"]
    assert since.new == 1


def test_where_no_version_is_known_other_content_may_have_the_same_size(made: Path) -> None:
    config = made_scan.configured(made)
    shards = [replace(shard, versions=()) for shard in plan_images(config.input, config.read, {}).shards]
    assert names(planned(made, shards).unchanged) == []


def with_status(root: Path, status: str) -> str:
    """Commits the first shard anew, with a record of this status; returns the shard's id."""
    record = ScanRecord.read(Directory(str(root / "out")))
    first, manifest = record.shards[0], Manifest(record.directory, record.fingerprint)
    rows = made_scan.rows(first, ["0.jpg", "1.jpg", "2.jpg"])
    statuses = pa.array(["ok", status, "ok"], pa.string())
    rows = rows.set_column(rows.column_names.index("status"), "status", statuses)
    receipts = pa.concat_tables(manifest.told().receipts)
    tally = Tally()
    tally.add(receipts.filter(compute.field("shard") != first))
    tally.add(receipts_table([Committer(record.directory, record.fingerprints.scores).commit(first, rows)]))
    manifest.clear()
    manifest.replace(tally)
    return first


@pytest.mark.parametrize("status", ["unreadable-file", "crashed-worker", "too-slow"])
def test_what_could_not_be_read_last_night_is_tried_again(made: Path, status: str) -> None:
    first = with_status(made, status)
    since = planned(made)
    assert first not in [shard.id for shard in since.unchanged]
    assert len(since.unchanged) == 2


@pytest.mark.parametrize("status", ["unreadable-image", "damaged-archive", "too-large"])
def test_what_is_wrong_with_a_record_itself_is_so_tonight_too(made: Path, status: str) -> None:
    with_status(made, status)
    assert len(planned(made).unchanged) == 3


def test_where_nobody_can_say_what_was_read_nothing_is_taken_over(made: Path) -> None:
    with_status(made, "unreadable-file")
    (name,) = (made / "out/manifest").iterdir()
    name.write_bytes(name.read_bytes()[:-9])
    assert planned(made).unchanged == []
