"""The page on two scans: how it is to be taken, and what it shows of kinds, scores and changes."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.reports.comparison.compare import compare
from pipelines.reports.comparison.page import KINDS, comparison_page
from pipelines.reports.html.blocks import Gallery, Grid, Plot, Prose
from pipelines.reports.html.page import Page
from pipelines.reports.html.render import render
from tests.pipelines.reports.ended_scans import Made, rows

USUAL = rows([0.9] * 200)


def page_on(place: Path, before: Made, after: Made, *failures: str) -> Page:
    return comparison_page(compare(before.read(place / "before"), after.read(place / "after")), failures)


def blocks(page: Page, section: str) -> Any:
    return next(one.blocks for one in page.sections if one.id == section)


@pytest.mark.parametrize(
    ("after", "failures", "tone"),
    [
        ({"one": USUAL}, (), "good"),
        ({"one": USUAL}, ("drift: too much",), "bad"),
        ({"one": rows([0.8] * 200)}, (), "warn"),
        ({"one": USUAL, "two": rows([0.9, None], status=["ok", "truncated-archive"])}, (), "bad"),
    ],
    ids=["the same", "fails", "drift", "newly broken"],
)
def test_the_tone_says_whether_somebody_must_look(
    tmp_path: Path, after: dict[str, Any], failures: tuple[str, ...], tone: str
) -> None:
    page = page_on(tmp_path, Made({"one": USUAL}), Made(after), *failures)
    assert page.verdict.tone == tone
    assert all(f"Fails: {line}." in page.verdict.detail for line in failures)


def test_nights_that_are_the_same_have_no_new_kinds_and_no_changes(tmp_path: Path) -> None:
    page = page_on(tmp_path, Made({"one": USUAL}), Made({"one": USUAL}))
    assert [section.lead for section in page.sections if section.id == "kinds"] == ["There is none."]
    (said,) = blocks(page, "changes")
    assert isinstance(said, Prose)
    assert said.lines[0].startswith("There are no shards that are newly broken, no shards whose flagged share has")
    assert {fact.name: (fact.value, fact.tone) for fact in page.facts} == {
        "images": ("200", "neutral"),
        "flagged, in points": ("±0.0", "neutral"),
        "scores have moved by": ("0.00 sd", "good"),
        "new kinds": ("0", "good"),
        "shards with more flags": ("0", "good"),
        "shards newly broken": ("0", "good"),
    }


def test_new_kinds_have_pictures_and_of_many_the_first_are_shown(tmp_path: Path) -> None:
    names = [f"kind {number:02d}" for number in range(KINDS + 3)]
    after = rows([0.1] * 30 * len(names), negative_label=[name for name in names for _ in range(30)])
    page = page_on(tmp_path, Made({"one": rows([0.9] * 1000)}), Made({"one": after}))
    shown = blocks(page, "kinds")
    assert [block.title for block in shown if isinstance(block, Gallery)] == names[:KINDS]
    assert all(block.pictures for block in shown)
    assert page.sections[0].lead.endswith("Shown are 12 of 15.")


def test_a_table_has_columns_for_errors_only_if_there_are_any(tmp_path: Path) -> None:
    after = Made({"one": rows([0.9], id_label=["dog"]), "new": rows([0.9, None], id_label=["cat", None])})
    page = page_on(tmp_path, Made({"one": rows([0.9])}), after)
    found = {block.title: [column.name for column in block.columns] for block in blocks(page, "changes")[:-1]}
    assert found["Shards that are new, gone or changed"][-2:] == ["errors before", "errors now"]
    assert found["Labels that appeared or vanished"][-2:] == ["flagged before", "flagged now"]
    assert [block.title for block in blocks(page, "scores") if isinstance(block, Plot | Grid)] == [
        "Scores by mcm", "How far scores have moved",
    ]  # fmt: skip
    assert "after against before" in render(page)
