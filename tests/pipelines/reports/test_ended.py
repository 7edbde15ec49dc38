"""What an ended scan tells of itself without its score tables, and what is none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import CallerError
from pipelines.reports.ended import EndedScan, names_of
from pipelines.storage import Directory
from tests.pipelines.reports.ended_scans import Made, rows

TWO = {"one": rows([0.1, 0.9, None]), "two": rows([0.4])}


def refusal(place: Path, read: Callable[[EndedScan], object] = lambda _: None) -> str:
    with pytest.raises(CallerError) as refused:
        read(EndedScan.read(Directory(str(place)), "BEFORE"))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_an_ended_scan_tells_of_itself(tmp_path: Path) -> None:
    scan = Made(TWO).read(tmp_path / "scan")
    assert (scan.deciding, scan.share("mcm"), scan.share("max-cos")) == ("mcm", 2 / 3, None)
    assert (scan.tally.records, scan.tally.scored) == (4, 3)
    np.testing.assert_allclose(scan.scores("mcm").values, [0.1, 0.4, 0.9], rtol=1e-4)
    assert scan.scores("max-cos").total == 0
    assert scan.counts("label") == {"cat": {"images": 3, "is_ood_mcm": 2, "score": 1_400_000, "sure": 1_500_000}}
    assert scan.counts("anchor") == {}
    assert sorted(receipt["records"] for receipt in scan.receipts.values()) == [1, 3]
    assert [row["key"] for row in scan.gallery["mcm", "lowest"]] == ["a/0", "a/0", "a/1"]
    assert scan.anchors is None


def test_anchors_are_read_where_there_are_some(tmp_path: Path) -> None:
    table = rows({"neglabel": [0.1], "consensus": [0.2]}, anchor=[1])
    made = Made({"one": table}, ("neglabel", "consensus"), {"consensus": 0.0}, anchors=np.eye(3, dtype=np.float32))
    found = made.read(tmp_path / "scan").anchors
    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.eye(3))


def test_what_is_no_ended_scan_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (f"BEFORE '{tmp_path}' is not a scan directory: it has no scan.json or no plan.parquet")
    scan = Path(Made(TWO).at(tmp_path / "scan").url)
    (scan / "summary.json").unlink()
    assert refusal(scan) == f"BEFORE '{scan}' is a scan that has not ended: it has no summary.json"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("summary.json", b"{", "cannot be read: summary.json: "),
        ("summary.json", b"3", "cannot be read: summary.json: "),
        ("plan.parquet", b"PAR1", "cannot be read: plan.parquet: "),
        ("thresholds.json", b"{}", "has no thresholds.json that can be read: it has not ended"),
        ("manifest/part-000000.parquet", b"PAR1", "cannot be read: its manifest/ is damaged or not complete"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    scan = Path(Made(TWO).at(tmp_path / "scan").url)
    (scan / name).write_bytes(content)
    assert refusal(scan).startswith(f"BEFORE '{scan}' {said}")


def test_a_gallery_that_is_gone_or_damaged_is_named(tmp_path: Path) -> None:
    scan = Path(Made(TWO).at(tmp_path / "scan").url)
    (scan / "gallery.parquet").write_bytes((scan / "plan.parquet").read_bytes())
    assert refusal(scan, lambda one: one.gallery).startswith(f"BEFORE '{scan}' cannot be read: gallery.parquet: ")
    (scan / "gallery.parquet").unlink()
    assert refusal(scan, lambda one: one.gallery) == f"BEFORE '{scan}' cannot be read: gallery.parquet is missing"


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (["nights/monday", "nights/tuesday"], ["monday", "tuesday"]),
        (["monday/scan", "tuesday/scan"], ["monday/scan", "tuesday/scan"]),
        (["a/monday/scan", "b/monday/scan", "a/tuesday/scan"], ["a/monday/scan", "b/monday/scan", "a/tuesday/scan"]),
        (["one"], ["one"]),
    ],
)
def test_scans_are_called_by_as_much_of_their_urls_as_tells_them_apart(
    tmp_path: Path, places: list[str], names: list[str]
) -> None:
    assert names_of([Made(TWO).read(tmp_path / place) for place in places]) == names


def test_a_scan_named_twice_has_one_name(tmp_path: Path) -> None:
    scan = Made(TWO).read(tmp_path / "scan")
    assert names_of([scan, scan]) == ["scan", "scan"]
