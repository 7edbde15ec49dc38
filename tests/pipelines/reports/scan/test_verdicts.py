"""What a scan's page and a comparison tell of verdicts."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.reports.comparison.compare import compare
from pipelines.reports.comparison.page import comparison_page
from pipelines.reports.comparison.show import ComparisonReport
from pipelines.reports.html.blocks import Grid, Prose
from pipelines.reports.html.render import render
from pipelines.reports.html.wording import count
from pipelines.reports.scan.page import scan_page
from pipelines.reports.scan.verdicts import verdicts
from pipelines.reports.tables import rendered
from tests.pipelines.reports.ended_scans import Made, rows
from tests.pipelines.reports.html.made_page import HOSTILE

TABLE = {"one": rows([0.9] * 200)}
NAMES = [text for text in HOSTILE if "\ud800" not in text]


def told(**changes: Any) -> dict[str, Any]:
    """What a summary tells of verdicts."""
    found = {
        "verdicts": 1203, "images": 1201, "by": {"mara": 1200, "": 3}, "belong": 700, "do_not_belong": 500,
        "raised": 4100, "lowered": 1, "contradictions": [], "contradicted": 0,
    }  # fmt: skip
    return {"verdicts": found | changes}


def contradiction(**changes: Any) -> dict[str, Any]:
    row = {"key": "a/1.jpg", "shard": "one", "index": 7, "belongs": 1.0, "by": "mara", "others": 0.0417}
    return row | changes


def test_who_has_judged_what_and_what_it_moved_is_told(tmp_path: Path) -> None:
    scan = Made(TABLE, learned=told(contradictions=[contradiction()], contradicted=60)).read(tmp_path / "scan")
    prose, people, against = verdicts(scan)
    assert isinstance(prose, Prose) and isinstance(people, Grid) and isinstance(against, Grid)
    assert prose.lines == [
        "1\u202f203 verdicts on 1\u202f201 images, 700 that they belong and 500 that they do not, are spread over the "
        "scan: they raise 4\u202f100 images and lower 1 by 0.5 standard deviations or more."
    ]
    assert people.rows == [("mara", 1200), ("(somebody)", 3)]
    assert against.rows == [("a/1.jpg", 1.0, "mara", 0.0417, "one", 7)]
    assert against.total == 60
    page = scan_page(scan)
    assert [section.title for section in page.sections].count("Verdicts") == 1
    assert "a/1.jpg" in render(page)


def test_judges_and_images_without_a_name_and_no_contradictions_are_told(tmp_path: Path) -> None:
    row = contradiction(key=None, by=None, shard=None, index=None)
    scan = Made(TABLE, learned=told(contradictions=[row], contradicted=1)).read(tmp_path / "scan")
    assert verdicts(scan)[2].rows == [("(no key)", 1.0, "(somebody)", 0.0417, None, None)]  # pyright: ignore
    html = render(scan_page(Made(TABLE, learned=told()).read(tmp_path / "none")))
    assert "No verdict contradicts others." in html


@pytest.mark.parametrize("learned", [{}, {"agreement": {}}, {"verdicts": {}}, {"verdicts": None}, {"verdicts": []}])
def test_without_verdicts_there_is_no_section(tmp_path: Path, learned: dict[str, Any]) -> None:
    scan = Made(TABLE, learned=learned).read(tmp_path / "scan")
    assert verdicts(scan) == []
    assert "Verdicts" not in {section.title for section in scan_page(scan).sections}


def test_hostile_names_harm_nobody(tmp_path: Path) -> None:
    hostile = [contradiction(key=text, by=text, shard=text) for text in NAMES]
    learned = told(by=dict.fromkeys(NAMES, 1), contradictions=hostile, contradicted=len(hostile))
    html = render(scan_page(Made(TABLE, learned=learned).read(tmp_path / "scan")))
    for text in NAMES:
        if "<" in text:
            assert text not in html
    assert "onerror=window.hacked=1>" not in html
    assert "&lt;script&gt;window.hacked=1&lt;/script&gt;" in html
    assert "\u202egpj.exe" not in html


@pytest.mark.parametrize(("before", "after"), [(0, 1203), (1203, 0), (1203, 1203)])
def test_a_comparison_counts_what_both_take_in(tmp_path: Path, before: int, after: int) -> None:
    scans = [
        Made(TABLE, learned=told(verdicts=number) if number else {}).read(tmp_path / name)
        for name, number in (("before", before), ("after", after))
    ]
    found = compare(scans[0], scans[1])
    report = ComparisonReport(found, [])
    assert json.loads(json.dumps(report.to_json()))["verdicts"] == {"before": before, "after": after}
    line = f"verdicts taken in: {after}, after {before}"
    assert all(line in rendered(report, form) for form in ("text", "markdown"))
    facts = {fact.name: (fact.value, fact.note) for fact in comparison_page(found, []).facts}
    assert facts["verdicts"] == (count(after), f"after {count(before)}")


def test_a_comparison_without_verdicts_does_not_speak_of_them(tmp_path: Path) -> None:
    found = compare(Made(TABLE).read(tmp_path / "before"), Made(TABLE).read(tmp_path / "after"))
    report = ComparisonReport(found, [])
    assert report.to_json()["verdicts"] == {"before": 0, "after": 0}
    assert "verdicts" not in rendered(report, "text")
    assert "verdicts" not in {fact.name for fact in comparison_page(found, []).facts}
