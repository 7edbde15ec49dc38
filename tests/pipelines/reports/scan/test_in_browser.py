"""The pages on a scan and a comparison in Chromium: on every screen, by keyboard alone, safe from hostile text."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.pipelines.reports.browser import View, opened, serious_findings

PAGES = ["scan", "comparison"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_the_page_can_be_used_by_everybody_and_asks_nobody_for_anything(
    browser: Browser, full: dict[str, Path], name: str, dark: bool
) -> None:
    with opened(browser, full[name], dark=dark) as seen:
        assert serious_findings(seen.page) == []
        seen.page.locator(".pictures button:visible").first.click()
        assert serious_findings(seen.page) == []
        assert (seen.outside, seen.errors) == ([], [])


@pytest.mark.parametrize("width", [390, 800, 1280])
def test_nothing_moves_the_page_sideways(
    browser: Browser, full: dict[str, Path], hostile: dict[str, Path], width: int
) -> None:
    for path in (*full.values(), *hostile.values()):
        with opened(browser, path, width=width) as seen:
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", PAGES)
def test_hostile_keys_labels_and_names_run_no_script(browser: Browser, hostile: dict[str, Path], name: str) -> None:
    with opened(browser, hostile[name]) as seen:
        for button in seen.page.locator("main button:visible").all()[:30]:
            button.focus()
        seen.page.locator(".pictures button:visible").first.click()
        assert seen.page.evaluate("window.hacked") is None
        assert seen.page.locator("main img, main script").count() == 0
        assert "\u202e" not in seen.page.inner_text("body")
        assert (seen.outside, seen.errors) == ([], [])


def test_the_first_screen_answers_what_is_asked_in_the_morning(view: View) -> None:
    screen = view.page.viewport_size
    assert screen is not None
    for text in ("are flagged by mcm, after", "The largest kinds"):
        place = view.page.get_by_text(text).first.bounding_box()
        assert place is not None
        assert place["y"] + place["height"] <= screen["height"]
    first = view.page.locator(".pictures .image").first.bounding_box()
    assert first is not None
    assert first["y"] < screen["height"]


def go_to(view: View, section: str) -> None:
    """Follows the link to a section by keyboard."""
    view.tab_to(section)
    view.press("Enter")


def test_a_table_is_sorted_and_filtered_by_keyboard(view: View) -> None:
    go_to(view, "Shards")
    shards = view.page.locator("#shards tbody tr:visible")
    view.tab_to("")  # the empty filter
    view.page.keyboard.type("new_1")
    assert shards.count() == 2
    assert view.page.locator("#shards").get_by_role("status").inner_text() == "2 of 10 rows shown"
    view.press("Control+a", "Delete")
    view.tab_to("flagged")
    view.press("Enter")
    flagged = [int(row.locator("td").nth(1).inner_text()) for row in shards.all()]
    assert (len(flagged), flagged) == (10, sorted(flagged, reverse=True))


def test_a_picture_is_opened_and_stepped_through_by_keyboard(view: View) -> None:
    go_to(view, "Images")
    view.press("Tab", "Tab", "Tab")  # the tabs, their panel, the first picture
    first = view.focused
    view.press("Enter")
    dialog = view.page.get_by_role("dialog")
    assert dialog.get_by_role("heading").text_content() == first
    named = set(dialog.locator("dt").all_inner_texts())
    assert {"score", "nearest", "nearest negative", "by mcm", "by max-cos", "flagged by", "shard"} <= named
    view.press("ArrowRight")
    assert "2 of 24" in dialog.inner_text()
    view.press("Escape")
    assert dialog.count() == 0


def test_the_images_of_another_method_are_a_tab_away(view: View) -> None:
    go_to(view, "Images")
    view.tab_to("mcm")
    view.press("ArrowRight")
    assert view.focused == "max-cos"
    view.page.locator("#images [role=tabpanel]:visible .pictures button").first.press("Enter")
    told = dict(
        zip(*(view.page.get_by_role("dialog").locator(tag).all_inner_texts() for tag in ("dt", "dd")), strict=True)
    )
    assert told["score"] == told["by max-cos"]


def test_the_theme_is_changed_by_keyboard(view: View) -> None:
    before = view.page.evaluate("getComputedStyle(document.body).backgroundColor")
    view.tab_to("Dark colours")
    view.press("Enter")
    assert view.page.evaluate("getComputedStyle(document.body).backgroundColor") != before
