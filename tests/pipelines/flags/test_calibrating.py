"""Thresholds from another scan's scores: the exact order statistics, however the scores lie in shards and buckets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import compute

from ood_core.calibration import keeping
from pipelines.config.pools import ScorePool
from pipelines.config.scan import Scan
from pipelines.errors import CallerError
from pipelines.flags import calibrating
from pipelines.flags.calibrating import FOUND, Sought, calibrated, values_in
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.layout import table_bytes
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.receipts import receipts_table
from pipelines.scan_directory.record import ScanRecord
from pipelines.scan_directory.sketch import Sketch, buckets_of, places_of
from pipelines.storage import Directory

POOL = ScorePool(workers=1, cpus=1)
SATURATED = 1 - 1e-12

tied = st.sampled_from([-0.75, -0.5, 0.0, 0.25, 0.5, SATURATED, 1 - 2e-12, 1.0])
some_shards = st.lists(st.lists(tied | st.floats(-3, 3), max_size=40), min_size=1, max_size=5).filter(any)


@given(some_shards, st.sampled_from([0.5, 0.9, 0.95, 1.0]))
def test_the_threshold_is_the_exact_one_of_all_scores_however_they_are_split(
    shards: list[list[float]], keep: float
) -> None:
    sketch, scores = Sketch(), np.concatenate([np.array(shard, float) for shard in shards])
    for shard in shards:
        sketch.add(*buckets_of(np.array(shard, float)))
    sought = Sought.of(sketch, keep)
    expected = keeping(scores, keep)
    inside = scores[np.isin(places_of(scores), sought.buckets)]
    assert sought.cuts(inside) == [expected.value, expected.low, expected.high]
    assert sought.images == len(scores)


def scanned(root: Path, shards: Sequence[Sequence[float | None]]) -> ScanRecord:
    """A scan by two methods with these scores, the second's being those of the first with the other sign."""
    output = Directory(str(root))
    committer, manifest, ids = Committer(output, "f1"), Manifest(output, "f1"), [f"s{at}" for at in range(len(shards))]
    for shard, scores in zip(ids, shards, strict=True):
        columns = {
            "shard": pa.array([shard] * len(scores), pa.string()),
            "index": pa.array(range(len(scores)), pa.int64()),
            "key": pa.array(map(str, range(len(scores))), pa.string()),
            "status": pa.array(["empty-file" if score is None else "ok" for score in scores], pa.string()),
            "score_mcm": pa.array(scores, pa.float64()),
            "score_max_cos": pa.array([None if score is None else -score for score in scores], pa.float64()),
        }
        manifest.add(receipts_table([committer.commit(shard, pa.table(columns))]))
    manifest.flush()
    config = Scan(input=("data",), labels="bank", output=str(root), method=("mcm", "max-cos"))
    return ScanRecord(output, config, config.methods(), {}, "f1", tuple(ids))


MANY = np.random.default_rng(0).beta(8, 1, 300)
TIED = np.random.default_rng(1).choice([-0.5, 0.25, SATURATED, 1.0], 300)
SPLITS = [[300], [1, 299], [100, 0, 100, 100]]


def split(scores: np.ndarray, sizes: Sequence[int]) -> list[list[float | None]]:
    """The scores in shards of these sizes, and a bad image at the end of each."""
    return [[*part.tolist(), None] for part in np.split(scores, np.cumsum(sizes)[:-1])]


@pytest.mark.parametrize("scores", [MANY, TIED, MANY - 0.9], ids=["many", "tied", "negative too"])
@pytest.mark.parametrize("sizes", SPLITS)
def test_the_scores_of_the_wanted_buckets_are_found_in_the_tables(
    tmp_path: Path, scores: np.ndarray, sizes: list[int]
) -> None:
    scan = scanned(tmp_path, split(scores, sizes))
    sketches = Manifest(scan.directory, "f1").told().sketches
    sought = {name: Sought.of(sketches[name], 0.9) for name in ("score_mcm", "score_max_cos")}
    wanted = {name: one.buckets for name, one in sought.items()}
    parts = [values_in(scan.directory, wanted, pa.table({"id": [shard]})) for shard in scan.shards]
    found = pa.concat_tables([FOUND.empty_table(), *(table for part in parts for table in part)])
    for name, all_scores in {"score_mcm": scores, "score_max_cos": -scores}.items():
        values = found.filter(compute.field("column") == name)["value"].to_numpy()
        expected = keeping(all_scores, 0.9)
        assert sought[name].cuts(values) == [expected.value, expected.low, expected.high]


def test_scores_that_the_sketch_does_not_count_give_no_threshold() -> None:
    sketch, scores = Sketch(), np.sort(TIED)
    sketch.add(*buckets_of(scores))
    sought = Sought.of(sketch, 0.95)
    assert sought.cuts(scores) == [-0.5, -0.5, -0.5]
    assert sought.cuts(scores[1:]) is None
    assert sought.cuts(np.append(scores, -0.5)) is None


@pytest.mark.parametrize("few", [64, 0], ids=["here", "by tasks"])
def test_a_scan_calibrates_each_method_that_it_has_scores_by(
    tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(calibrating, "FEW_SHARDS", few)
    scan = scanned(tmp_path, split(MANY, [100, 0, 200]))
    found = calibrated(scan, ["max-cos", "neglabel", "mcm"], 0.9, POOL)
    assert list(found) == ["max-cos", "mcm"]
    for name, scores in {"mcm": MANY, "max-cos": -MANY}.items():
        expected, threshold = keeping(scores, 0.9), found[name]
        assert (threshold.value, threshold.low, threshold.high) == (expected.value, expected.low, expected.high)
        assert (threshold.source, threshold.of, threshold.keep) == ("calibrated", str(tmp_path), 0.9)
        assert threshold.images == 300


def test_a_scan_whose_tables_are_not_those_of_its_manifest_is_refused(tmp_path: Path) -> None:
    scan = scanned(tmp_path, split(TIED, [100, 200]))
    other = scanned(tmp_path / "other", split(TIED[:200], [100, 100]))
    scan.directory.put("scores/part-s1.parquet", other.directory.read("scores/part-s1.parquet"))
    with pytest.raises(CallerError, match=f"^--calibrate '{tmp_path}' cannot be read: its scores/ are not what"):
        calibrated(scan, ["mcm"], 0.95, POOL)


@pytest.mark.parametrize("what", ["gone", "damaged", "not of every shard"])
def test_a_scan_whose_manifest_is_not_whole_is_refused(tmp_path: Path, what: str) -> None:
    scan = scanned(tmp_path, split(TIED, [100, 200]))
    name = "manifest/part-000000.parquet"
    if what == "gone":
        scan.directory.remove(name)
    elif what == "damaged":
        scan.directory.put(name, scan.directory.read(name)[:-9])
    else:
        receipts = Manifest(scan.directory, "f1").told().receipts[0]
        scan.directory.put(name, table_bytes(receipts.slice(1), {"oodscan.fingerprint": "f1"}))
    with pytest.raises(CallerError, match="cannot be read: its manifest/ is damaged or not complete"):
        calibrated(scan, ["mcm"], 0.95, POOL)


def test_a_few_images_do_not_tell_what_belongs(tmp_path: Path) -> None:
    scan = scanned(tmp_path, [[0.5] * 19 + [None] * 9])
    with pytest.raises(CallerError, match=f"^--calibrate '{tmp_path}' has 19 scored images; at least 20 have to tell"):
        calibrated(scan, ["mcm"], 0.95, POOL)
