"""The page as a file of the scan directory: what it is held against, what is refused, and how large it may be."""

import io
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from typer.testing import CliRunner

from ood_core.methods import METHODS
from pipelines.commands.app import app
from pipelines.errors import CallerError
from pipelines.reports.comparison.compare import compare
from pipelines.reports.comparison.page import comparison_page
from pipelines.reports.html.render import render
from pipelines.reports.scan.page import last_night, scan_page
from pipelines.reports.scan.write import MOST_BYTES, report_of, write_report
from pipelines.storage import Directory
from tests.pipelines.reports.ended_scans import Made, bank_at, rows

TWO = {"one": rows([0.1, 0.9])}


def printed(*arguments: str | Path) -> str:
    ended = CliRunner().invoke(app, ["report", *map(str, arguments)], catch_exceptions=False)
    assert ended.exit_code == 0
    return ended.stdout


def page_of(scan: Path) -> str:
    return (scan / "report.html").read_text(encoding="utf-8")


def test_the_command_writes_the_page_into_the_scan_and_prints_where(tmp_path: Path) -> None:
    Made(TWO).at(tmp_path / "scan")
    assert printed(tmp_path / "scan") == f"{tmp_path}/scan/report.html\n"
    assert "50.0\u202f% of 2 images are flagged by mcm." in page_of(tmp_path / "scan")
    before = page_of(tmp_path / "scan")
    printed(tmp_path / "scan")
    assert page_of(tmp_path / "scan") == before


def test_a_scan_is_held_against_the_one_it_was_made_since_or_the_one_that_is_named(tmp_path: Path) -> None:
    Made({"one": rows([0.9, 0.9])}).at(tmp_path / "monday")
    Made({"one": rows([0.1, 0.1])}).at(tmp_path / "tuesday")
    Made(TWO, settings={"since": str(tmp_path / "tuesday")}).at(tmp_path / "scan")
    printed(tmp_path / "scan")
    assert "flagged by mcm, after 100.0\u202f% in tuesday." in page_of(tmp_path / "scan")
    printed(tmp_path / "scan", "--since", tmp_path / "monday")
    assert "flagged by mcm, after 0.0\u202f% in monday." in page_of(tmp_path / "scan")


@pytest.mark.parametrize(
    "other", [None, Made(TWO, weights="others"), Made(TWO, bank=Path("other-bank"))], ids=["gone", "model", "bank"]
)
def test_last_night_is_left_out_if_it_is_gone_or_by_now_another_scan(tmp_path: Path, other: Made | None) -> None:
    scan = Made(TWO, settings={"since": str(tmp_path / "before")}).read(tmp_path / "scan")
    if other and other.bank:
        bank_at(tmp_path / other.bank, ("sheep",))
        other = Made(TWO, bank=tmp_path / other.bank)
    if other:
        other.at(tmp_path / "before")
    assert last_night(scan) is None
    printed(tmp_path / "scan")


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (Made(TWO, weights="others"), "are by different models: their weights are others… and weights…"),
        (
            Made(TWO, settings={"param": {"mcm.temperature": 0.5}}),
            "were scored by mcm with different parameters: MCM(tem",
        ),
    ],
    ids=["model", "parameters"],
)
def test_a_named_scan_by_other_scores_is_refused(tmp_path: Path, before: Made, said: str) -> None:
    scan, other = Made(TWO).at(tmp_path / "scan"), before.at(tmp_path / "before")
    with pytest.raises(CallerError) as refused:
        write_report(scan, other)
    assert str(refused.value).startswith(f"--since '{tmp_path}/before' and SCAN '{tmp_path}/scan' {said}")
    assert not (tmp_path / "scan/report.html").exists()


def test_what_is_no_ended_scan_is_refused_with_its_option(tmp_path: Path) -> None:
    scan = Made(TWO).at(tmp_path / "scan")
    with pytest.raises(CallerError, match=f"^--since '{tmp_path}/gone' is not a scan directory"):
        write_report(scan, Directory(str(tmp_path / "gone")))
    with pytest.raises(CallerError, match=f"^SCAN '{tmp_path}/gone' is not a scan directory"):
        write_report(Directory(str(tmp_path / "gone")))


def noise(seed: int) -> bytes:
    """A thumbnail that cannot be compressed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (128, 128, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=80, method=0)
    return buffer.getvalue()


def test_a_page_has_as_many_pictures_as_it_has_room_for(tmp_path: Path) -> None:
    methods = ("mcm", "max-cos", "neglabel", "csp", "negrefine", "debiased", "interneg", "adaneg")
    random = np.random.default_rng(0)
    methods = tuple(name for name in methods if name in METHODS)
    scores = {name: random.random(600).tolist() for name in methods}
    made = Made({"one": rows(scores)}, methods, dict.fromkeys(methods, 0.5), picture=noise)
    scan = made.read(tmp_path / "scan")
    assert len(render(scan_page(scan))) > MOST_BYTES
    content = report_of(scan).decode()
    assert 0.6 * MOST_BYTES < len(content) <= MOST_BYTES
    shown = [len(re.findall("<li>\n<button", part)) for part in content.split("Lowest scores</h")[1:]]
    assert len(shown) == len(methods)
    assert all(shown)


def test_pages_on_scans_of_many_rows_shards_and_labels_stay_below_their_limit(tmp_path: Path) -> None:
    random, labels = np.random.default_rng(0), tuple(f"label {number}" for number in range(2000))
    bank_at(tmp_path / "bank", labels)

    def shard(count: int) -> pa.Table:
        chosen = random.integers(len(labels), size=count).tolist()
        return rows(
            random.beta(3, 1, count).tolist(),
            key=[f"folder {number}/{row}" for row, number in enumerate(random.integers(600, size=count).tolist())],
            id_label=[labels[number] for number in chosen],
            negative_label=[f"negative {number}" for number in chosen],
        )

    nights = [Made({f"{number}": shard(200) for number in range(100)}, picture=noise) for _ in range(2)]
    before, after = (night.read(tmp_path / f"night {number}") for number, night in enumerate(nights))
    report = report_of(after, before)
    comparison = render(comparison_page(compare(before, after), [])).encode()
    assert len(report) <= MOST_BYTES
    assert len(comparison) <= MOST_BYTES
    for said in (b"of 20\xe2\x80\xaf000 images are flagged", b"the first 500 of 2", b"the first 24 of 20"):
        assert said in report
