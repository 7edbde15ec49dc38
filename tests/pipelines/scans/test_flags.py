"""Flags at a scan's end: by thresholds of every source, made again without scoring, checked, and cut short."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from pyarrow import compute

from ood_core.calibration import keeping
from pipelines.commands.ending import end
from pipelines.flags.workers import FlagShards, FlagSpec
from pipelines.runtime.progress import quiet
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.record import ScanRecord
from pipelines.scans.rescore import rescore
from pipelines.storage import Directory
from pipelines.verify.verify import verify
from tests.pipelines.in_plan_order import parts, score_rows
from tests.pipelines.scans import in_kinds
from tests.pipelines.scans.in_kinds import BAD, ROWS

CUT = 0.25
GIVEN = {"neglabel": CUT}
REPORT = "report.html"


@pytest.fixture(scope="module")
def place(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank, embeddings of three cameras, and a rescoring of them by a given threshold and an estimated one."""
    place = tmp_path_factory.mktemp("flags")
    in_kinds.fill(place)
    images = in_kinds.images().append_column("camera", pa.array([f"camera {row % 3}" for row in range(ROWS)]))
    pq.write_table(images, place / "images/all.parquet")
    run(place, "given")
    return place


def run(place: Path, output: Path | str, say: Callable[[str], Any] = quiet, **changes: Any) -> dict[str, Any]:
    """Rescores by two methods that look at one image at a time."""
    settled = {"method": ("neglabel", "mcm"), "param": {"neglabel.groups": 3}, "threshold": GIVEN, "group_by": "camera"}
    return rescore(in_kinds.asked(place, str(output), **settled | changes), say=say)


def copied(place: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place / "given", tmp_path / "scan"))


def files(output: Path) -> dict[str, bytes]:
    """All that a scan has left."""
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}


def outcome(output: Path) -> dict[str, bytes]:
    """What a scan has left, but for what tells of its runs: how it was begun, and what each shard took."""
    found = {name: content for name, content in files(output).items() if not name.startswith(("manifest/", "scan."))}
    summary = json.loads(found["summary.json"])
    return found | {"summary.json": json.dumps(summary | {"last_run": None}).encode()}


def scores_of(output: Path, method: str) -> np.ndarray:
    return score_rows(output)[f"score_{method}"].drop_null().to_numpy()


def threshold_of(output: Path, method: str) -> dict[str, Any]:
    return json.loads((output / "thresholds.json").read_text())["methods"][method]


def test_what_scores_below_a_given_threshold_is_flagged(place: Path) -> None:
    rows = score_rows(place / "given")
    assert threshold_of(place / "given", "neglabel")["source"] == "given"
    scores = rows["score_neglabel"].to_pylist()
    assert rows["is_ood_neglabel"].to_pylist() == [None if score is None else score < CUT for score in scores]
    assert np.flatnonzero(rows["is_ood_neglabel"].is_null().to_numpy()).tolist() == list(BAD)
    assert 10 < sum(score < CUT for score in scores if score is not None) < ROWS - 10


def test_without_another_source_a_threshold_is_estimated_and_splits_the_scores(place: Path) -> None:
    found = threshold_of(place / "given", "mcm")
    assert (found["source"], found["low"], found["of"]) == ("estimated", None, None)
    flags = score_rows(place / "given")["is_ood_mcm"].drop_null().to_numpy()
    np.testing.assert_array_equal(flags, scores_of(place / "given", "mcm") < found["value"])
    assert 0 < flags.sum() < len(flags)


def test_summary_manifest_and_gallery_tell_of_the_flags(place: Path) -> None:
    flags = json.loads((place / "given/summary.json").read_text())["flags"]
    assert (flags["deciding"], flags["group_by"], flags["within_max_flagged"]) == ("neglabel", "camera", True)
    flagged = int((scores_of(place / "given", "neglabel") < CUT).sum())
    found = flags["methods"]["neglabel"]
    assert (found["flagged"], found["share"]) == (flagged, flagged / (ROWS - len(BAD)))
    assert found["low"] < found["share"] < found["high"]
    gallery = pq.read_table(place / "given/gallery.parquet").filter(compute.field("kind") == "flagged")
    assert len(gallery) > 0
    assert set(gallery["is_ood_neglabel"].to_pylist()) == {True}
    assert set(gallery["method"].to_pylist()) == {"neglabel"}
    assert verify(str(place / "given"), {}, tables=True).problems == []


def test_images_are_counted_by_label_negative_label_and_group(place: Path) -> None:
    recorded = json.loads((place / "given/scan.json").read_text())
    counts = Manifest(Directory(str(place / "given")), recorded["fingerprint"]).told().breakdown().to_pylist()
    rows = score_rows(place / "given").to_pylist()
    for by, column in {"label": "id_label", "negative": "negative_label", "group": "camera"}.items():
        for what, chosen in {"images": "status", "is_ood_neglabel": "is_ood_neglabel"}.items():
            wanted = {"ok"} if chosen == "status" else {True}
            values = [row[column] for row in rows if row[chosen] in wanted]
            found = {row["value"]: row["count"] for row in counts if (row["by"], row["what"]) == (by, what)}
            assert found == {value: values.count(value) for value in set(values)}


def test_a_scan_of_images_that_belong_calibrates_by_its_exact_scores(place: Path) -> None:
    summary = run(place, "calibrated", threshold={}, calibrate=str(place / "given"), keep=0.9)
    for method in ("neglabel", "mcm"):
        expected, found = keeping(scores_of(place / "given", method), 0.9), threshold_of(place / "calibrated", method)
        assert (found["value"], found["low"], found["high"]) == (expected.value, expected.low, expected.high)
        assert (found["source"], found["of"], found["keep"]) == ("calibrated", str(place / "given"), 0.9)
        assert found["images"] == ROWS - len(BAD)
        assert summary["flags"]["methods"][method]["share"] == pytest.approx(0.1, abs=1 / ROWS)
    assert summary["flags"]["methods"]["mcm"]["threshold"]["images_needed"] == 3458
    assert verify(str(place / "calibrated"), {}, tables=True).problems == []


def test_of_several_sources_the_first_that_has_a_threshold_counts(place: Path, tmp_path: Path) -> None:
    output, night = copied(place, tmp_path), str(place / "given")
    shutil.copytree(place / "given", tmp_path / "known")
    run(place, output, threshold={"mcm": 0.5}, calibrate=str(tmp_path / "known"), since=night)
    assert {name: threshold_of(output, name)["source"] for name in ("neglabel", "mcm")} == {
        "neglabel": "calibrated",
        "mcm": "given",
    }
    run(place, output, threshold={}, since=night)
    assert threshold_of(output, "neglabel") == {
        "value": CUT, "source": "carried", "low": None, "high": None, "of": night, "keep": None, "images": None,
    }  # fmt: skip
    assert threshold_of(output, "mcm")["source"] == "estimated"
    assert tables(output) == tables(place / "given")


def tables(output: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(output).items() if name.startswith(("scores/", "gallery"))}


def test_a_rerun_by_the_same_thresholds_does_nothing(place: Path, tmp_path: Path) -> None:
    output, said = copied(place, tmp_path), list[str]()
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (output / "scores").iterdir()}
    expected = files(output)
    assert run(place, output, said.append)["last_run"] == {"images": 0}
    assert files(output) == expected
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert [line for line in said if "flags" in line] == []


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> Path:
    """A rescoring by other thresholds from the beginning."""
    run(place, "undisturbed", threshold={"neglabel": 0.5})
    return place / "undisturbed"


def test_other_thresholds_make_flags_anew_and_score_nothing(place: Path, undisturbed: Path, tmp_path: Path) -> None:
    output, said = copied(place, tmp_path), list[str]()
    summary = run(place, output, said.append, threshold={"neglabel": 0.5})
    assert summary["last_run"] == {"images": 0}
    assert sum("flags: neglabel below 0.5 (given), mcm below" in line for line in said) == 1
    before, after = score_rows(place / "given"), score_rows(output)
    scored = [name for name in before.column_names if not name.startswith("is_ood_")]
    assert after.select(scored).equals(before.select(scored))
    assert not after.equals(before)
    assert outcome(output) == outcome(undisturbed)
    assert verify(str(output), {}, tables=True).problems == []


def test_another_group_is_counted_without_a_table_being_written(place: Path, tmp_path: Path) -> None:
    output = copied(place, tmp_path)
    before = tables(output)
    assert run(place, output, group_by="folder")["flags"]["group_by"] == "folder"
    assert tables(output) == before
    assert verify(str(output), {}, tables=True).problems == []


def flag_one(output: Path, thresholds: Mapping[str, float]) -> None:
    """Flags the second table, as a run does that is killed after it: no receipt counts any more."""
    record = ScanRecord.read(Directory(str(output)))
    manifest = Manifest(record.directory, record.fingerprint)
    receipts = pa.concat_tables(manifest.told().receipts)
    manifest.clear()
    spec = FlagSpec(record.directory, record.fingerprints.scores, thresholds, "neglabel", "camera")
    (second,) = FlagShards(spec)(receipts.filter(compute.field("shard") == record.shards[1]))
    assert second["records"].to_pylist() == [60]


def test_flagging_that_was_killed_between_two_tables_goes_on(place: Path, undisturbed: Path, tmp_path: Path) -> None:
    output = copied(place, tmp_path)
    flag_one(output, {"neglabel": 0.5, "mcm": threshold_of(undisturbed, "mcm")["value"]})
    shutil.copy(undisturbed / "thresholds.json", output / "thresholds.json")
    run(place, output, threshold={"neglabel": 0.5})
    assert outcome(output) == outcome(undisturbed)
    assert verify(str(output), {}, tables=True).problems == []


def test_flagging_that_was_killed_may_be_given_up_for_the_thresholds_before(place: Path, tmp_path: Path) -> None:
    output = copied(place, tmp_path)
    flag_one(output, {"neglabel": 0.5, "mcm": 0.5})
    run(place, output)
    assert outcome(output) == outcome(place / "given")


def cut_short(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "where",
    ["pipelines.scan_directory.manifest.Manifest.clear", "pipelines.scans.make_gallery.make_gallery",
     "pipelines.scans.carry_out.flags_summary"],
    ids=["before the tables", "before the gallery", "before the summary"],
)  # fmt: skip
def test_wherever_a_run_is_cut_short_the_next_one_ends_it(
    place: Path, undisturbed: Path, tmp_path: Path, where: str
) -> None:
    output = copied(place, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, cut_short)
        with pytest.raises(KeyboardInterrupt):
            run(place, output, threshold={"neglabel": 0.5})
    run(place, output, threshold={"neglabel": 0.5})
    assert outcome(output) == outcome(undisturbed)
    assert verify(str(output), {}, tables=True).problems == []


def test_more_flagged_images_than_may_be_give_an_exit_code_of_their_own(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = copied(place, tmp_path)
    summary, chosen = run(place, output, max_flagged=0.01), in_kinds.asked(place, str(output))
    assert summary["success"]
    with pytest.raises(typer.Exit) as ended:
        end(summary, chosen, REPORT, as_json=False)
    assert ended.value.exit_code == 5
    said = capsys.readouterr()
    share = summary["flags"]["methods"]["neglabel"]["share"]
    assert f"{share:.2%} of the images are flagged by neglabel, more than 1.00% (--max-flagged)" in said.err
    assert f"flagged by neglabel  {summary['flags']['methods']['neglabel']['flagged']}, {share:.2%} (" in said.out
    end(run(place, output, max_flagged=share), chosen, REPORT, as_json=False)
    end(run(place, output), chosen, REPORT, as_json=True)


def test_what_an_estimate_is_worth_is_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = in_kinds.asked(place, "estimated")
    end(run(place, "estimated", method=("mcm",), param={}, threshold={}), chosen, REPORT, as_json=True)
    assert "the threshold of mcm is an estimate from the scan's own scores" in capsys.readouterr().err


def alike(place: Path, folder: str, cell: list[float] | None) -> str:
    """Embeddings that are all this one."""
    (place / folder).mkdir()
    cells = pa.array([cell] * 80, pa.list_(pa.float32(), in_kinds.DIM))
    columns = {"key": [str(row) for row in range(80)], "embedding": cells, "camera": ["one"] * 80}
    pq.write_table(pa.table(columns), place / folder / "all.parquet")
    return str(place / folder)


def test_where_all_scores_are_one_value_nothing_can_be_estimated_or_flagged(place: Path) -> None:
    given = alike(place, "alike", in_kinds.bank().embeddings[0].tolist())
    summary = run(place, "of alike", embeddings=(given,), threshold={}, max_flagged=0.0)
    assert summary["flags"]["methods"] == {}
    end(summary, in_kinds.asked(place, "of alike"), REPORT, as_json=False)
    assert [name for name in score_rows(place / "of alike").column_names if name.startswith("is_ood_")] == []
    assert run(place, "of alike", embeddings=(given,), threshold={})["last_run"] == {"images": 0}
    assert verify(str(place / "of alike"), {}, tables=True).problems == []


def test_where_nothing_was_scored_nothing_is_flagged(place: Path) -> None:
    changes = {"embeddings": (alike(place, "nothing", None),), "max_bad_fraction": 1.0, "max_flagged": 0.0}
    summary = run(place, "of nothing", **changes)
    assert summary["flags"]["methods"]["neglabel"]["flagged"] == 0
    assert (summary["success"], summary["flags"]["within_max_flagged"]) == (False, True)
    flags = score_rows(place / "of nothing")["is_ood_neglabel"]
    assert (flags.type, flags.null_count) == (pa.bool_(), 80)
    assert run(place, "of nothing", **changes)["last_run"] == {"images": 0}
    assert verify(str(place / "of nothing"), {}, tables=True).problems == [
        "nothing was scored: none of 80 records is ok"
    ]


def with_one_flag_changed(output: Path) -> None:
    path = output / "scores" / parts(output)[1]
    table = pq.read_table(path)
    flags = table["is_ood_neglabel"].to_pylist()
    flags[3] = not flags[3]
    place = table.column_names.index("is_ood_neglabel")
    pq.write_table(table.set_column(place, "is_ood_neglabel", pa.array(flags)), path, write_page_checksum=True)


def with_another_threshold(output: Path) -> None:
    path = output / "thresholds.json"
    recorded = json.loads(path.read_text())
    recorded["methods"]["neglabel"]["value"] = 0.26
    path.write_text(json.dumps(recorded))


def without_receipts_of_flags(output: Path) -> None:
    record = ScanRecord.read(Directory(str(output)))
    tally = Manifest(record.directory, record.fingerprint).told()
    unflagged = pa.concat_tables(tally.receipts)
    column = unflagged.schema.get_field_index("flagged")
    nulls = pa.nulls(len(unflagged), unflagged.schema.field("flagged").type)
    tally.receipts = [unflagged.set_column(column, "flagged", nulls)]
    manifest = Manifest(record.directory, record.fingerprint)
    manifest.clear()
    manifest.replace(tally)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (with_one_flag_changed, "scores/{second}: its flags are not those of thresholds.json and its scores"),
        (with_another_threshold, "scores/{second}: it says that its flags in scores/ were made by other thresholds"),
        (lambda output: (output / "thresholds.json").unlink(), "thresholds.json is missing"),
        (lambda output: (output / "thresholds.json").write_text("{}"), "thresholds.json cannot be checked: 'methods'"),
        (without_receipts_of_flags, "manifest/ does not count the flags of every shard"),
    ],
    ids=["a flag", "a threshold", "no thresholds", "none of ours", "receipts"],
)
def test_verify_names_flags_that_are_not_so(
    place: Path, tmp_path: Path, change: Callable[[Path], Any], problem: str
) -> None:
    output = copied(place, tmp_path)
    change(output)
    assert problem.format(second=parts(output)[1]) in verify(str(output), {}, tables=True).problems


def test_a_rerun_mends_a_table_with_a_wrong_flag(place: Path, tmp_path: Path) -> None:
    output = copied(place, tmp_path)
    with_one_flag_changed(output)
    run(place, output)
    assert outcome(output) == outcome(place / "given")
