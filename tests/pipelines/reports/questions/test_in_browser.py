"""The page of questions in Chromium: for everybody, on every screen, and safe from what it shows."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.pipelines.reports.browser import View, opened, serious_findings


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_can_be_used_by_everybody(browser: Browser, twenty: Path, dark: bool, width: int) -> None:
    with opened(browser, twenty, dark=dark, width=width) as seen:
        seen.press(*"ynu", "ArrowLeft", "s")
        assert serious_findings(seen.page) == []
        seen.press("Escape", *"y" * 20)
        assert seen.page.get_by_role("heading", name="All 20 are answered.").is_visible()
        assert serious_findings(seen.page) == []
        assert (seen.outside, seen.errors) == ([], [])


@pytest.mark.parametrize("width", [390, 900])
def test_nothing_moves_the_page_sideways(browser: Browser, twenty: Path, hostile: Path, width: int) -> None:
    for path in (twenty, hostile):
        with opened(browser, path, width=width) as seen:
            for _ in range(seen.page.locator(".question").count() + 1):
                assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
                seen.press("y")


def test_text_by_others_runs_no_script(browser: Browser, hostile: Path) -> None:
    with opened(browser, hostile) as seen:
        seen.press(*"y" * seen.page.locator(".question").count())
        assert seen.page.get_by_role("heading", name="are answered").is_visible()
        assert seen.page.evaluate("window.hacked") is None
        assert seen.page.locator("main img, main script").count() == 0
        assert (seen.outside, seen.errors) == ([], [])


@pytest.mark.parametrize("width", [1280, 390])
def test_picture_question_and_answers_are_on_the_first_screen_and_the_picture_has_most_of_it(
    browser: Browser, twenty: Path, width: int
) -> None:
    with opened(browser, twenty, width=width) as seen:
        places = [
            seen.page.locator(one).bounding_box() or {}
            for one in (".question.open .image", "h1", ".question.open .text ol", ".answers", ".steps")
        ]
        assert all(place["y"] >= 0 and place["y"] + place["height"] <= 800 for place in places)
        areas = [place["width"] * place["height"] for place in places]
        assert areas[0] > sum(areas[1:])


def test_without_scripts_all_questions_are_shown_and_why_none_can_be_answered(browser: Browser, twenty: Path) -> None:
    with opened(browser, twenty, scripts=False) as seen:
        assert seen.page.get_by_text("Answering needs JavaScript").is_visible()
        assert seen.page.locator(".question:visible").count() == 20
        assert seen.page.locator(".question .image:visible").count() == 20
        assert seen.page.locator("button:visible, input:visible").count() == 0
        assert (seen.outside, seen.errors) == ([], [])


def test_in_print_all_questions_are_shown(view: View) -> None:
    view.page.emulate_media(media="print")
    assert view.page.locator(".question:visible").count() == 20
    assert view.page.locator("button:visible, .unscripted:visible").count() == 0


def test_the_page_is_used_by_mouse_as_well(view: View) -> None:
    for name in ("Belongs", "Does not", "Unsure", "Previous", "Undo"):
        view.page.get_by_role("button", name=name).click()
    assert view.page.get_by_text("2 of 20 answered").is_visible()
    view.page.get_by_role("button", name="Question 12: open").click()
    assert view.page.get_by_role("heading", name="Question 12 of 20").is_visible()
    marks = view.page.locator(".strip .mark").evaluate_all("all => all.slice(0, 4).map(one => one.className)")
    assert marks == ["mark good", "mark bad", "mark open", "mark open"]


def test_where_the_browser_keeps_nothing_the_page_says_so_and_works(browser: Browser, twenty: Path) -> None:
    with opened(browser, twenty) as seen:
        warning = seen.page.get_by_text("answers that are not saved are lost")
        assert not warning.is_visible()
        seen.page.add_init_script(
            "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no'); } })"
        )
        seen.page.reload()
        assert warning.is_visible()
        seen.press("y", "n")
        assert seen.page.get_by_text("2 of 20 answered").is_visible()
        assert serious_findings(seen.page) == []
        assert (seen.outside, seen.errors) == ([], [])


@pytest.mark.parametrize("kept", ["{", "null", '{"by": 1, "given": [3]}', '{"given": [["x", "toString", "now"]]}'])
def test_what_others_left_in_the_browser_does_no_harm(view: View, kept: str) -> None:
    view.page.evaluate("kept => localStorage.setItem('oodscan verdicts f00', kept)", kept)
    view.page.reload()
    assert view.page.get_by_text("0 of 20 answered").is_visible()


def test_two_windows_of_a_page_do_not_write_over_each_other(view: View) -> None:
    other = view.page.context.new_page()
    other.goto(view.page.url)
    view.press("y")
    other.get_by_text("1 of 20 answered").wait_for()
    other.keyboard.press("ArrowRight")
    other.keyboard.press("n")
    view.page.get_by_text("2 of 20 answered").wait_for()
