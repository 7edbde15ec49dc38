"""The kit's pages in Chromium, used with the keyboard alone."""

from tests.pipelines.reports.browser import View


def column(view: View, number: int) -> list[str]:
    """The visible cells of a column of the table of fruit, from top to bottom."""
    rows = view.page.get_by_role("region", name="Fruit").locator("tbody tr:visible")
    return [row.locator("> *").nth(number).inner_text() for row in rows.all()]


def sorted_by(view: View) -> dict[str, str]:
    heads = view.page.get_by_role("region", name="Fruit").locator("th[aria-sort]")
    return {head.inner_text(): head.get_attribute("aria-sort") or "" for head in heads.all()}


def test_a_table_is_sorted_by_words_as_people_do_and_then_the_other_way_and_then_as_it_was(view: View) -> None:
    given = column(view, 0)
    view.tab_to("fruit")
    view.press("Enter")
    ascending = ["Apple", "cherry", "date", "elder", "fig", "grape", "item 9", "item 10", "pear"]
    assert (column(view, 0), sorted_by(view)) == (ascending, {"fruit": "ascending"})
    view.press("Space")
    assert (column(view, 0), sorted_by(view)) == (ascending[::-1], {"fruit": "descending"})
    view.press("Enter")
    assert (column(view, 0), sorted_by(view)) == (given, {})


def test_a_table_is_sorted_by_numbers_the_largest_first_and_what_has_none_last_either_way(view: View) -> None:
    view.tab_to("images")
    view.press("Enter")
    assert column(view, 1) == ["1\u202f200", "10", "9", "8", "7", "5", "4", "3", "–"]
    view.press("Enter")
    assert (column(view, 1)[0], column(view, 1)[-1], sorted_by(view)) == ("3", "–", {"images": "ascending"})


def test_a_filter_leaves_the_rows_that_have_all_its_words_and_says_how_many(view: View) -> None:
    status = view.page.locator(".grid", has=view.page.get_by_label("Filter Fruit")).get_by_role("status")
    assert status.inner_text() == "9 rows"
    view.tab_to("")  # the only thing without text that Tab leads to is the empty filter
    view.page.keyboard.type("ITEM 10")
    assert (column(view, 0), status.inner_text()) == (["item 10"], "1 of 9 rows shown")
    view.press("Control+a")
    view.page.keyboard.type("1200")  # as people type the number that is shown as 1 200
    assert column(view, 0) == ["fig"]
    view.press("Control+a", "Delete")
    assert (len(column(view, 0)), status.inner_text()) == (9, "9 rows")


def test_tabs_are_gone_through_with_the_arrow_keys(view: View) -> None:
    view.tab_to("first")
    shown = []
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft", "Home", "End"):
        view.press(key)
        panel = view.page.locator("[role=tabpanel]:visible")
        assert panel.count() == 1
        assert panel.get_attribute("aria-labelledby") == view.page.evaluate("document.activeElement.id")
        shown.append(view.focused)
    assert shown == ["second", "third", "first", "third", "first", "third"]
    view.press("Tab")
    assert view.page.evaluate("document.activeElement.getAttribute('role')") == "tabpanel"


def test_a_picture_is_opened_with_all_its_lines_and_the_arrow_keys_lead_to_the_next(view: View) -> None:
    dialog = view.page.get_by_role("dialog")
    view.tab_to("warning: 1.jpg")
    view.press("Enter")
    assert dialog.get_by_role("heading").text_content() == "warning: 1.jpg"
    assert dialog.locator("dl div").all_inner_texts() == ["score\n1", "label\nfig", "shard\ns1"]
    assert "2 of 4" in dialog.inner_text()
    assert "data:image/webp" in dialog.locator(".image").evaluate("one => getComputedStyle(one).backgroundImage")
    view.press("ArrowRight", "ArrowRight")
    assert dialog.get_by_role("heading").text_content() == "warning: 3.jpg"
    view.press("ArrowRight")  # after the last comes the first
    assert "no picture" in dialog.inner_text()
    view.press("ArrowLeft", "ArrowLeft", "ArrowLeft", "Escape")
    assert dialog.count() == 0
    view.page.wait_for_function("document.activeElement.textContent.trim() === 'warning: 1.jpg'")


def test_a_dialog_keeps_the_focus_and_its_buttons_do_what_the_keys_do(view: View) -> None:
    dialog = view.page.get_by_role("dialog")
    view.tab_to("warning: 2.jpg")
    view.press("Enter")
    view.tab_to("→Next picture")
    view.press("Enter")
    assert dialog.get_by_role("heading").text_content() == "warning: 3.jpg"
    view.tab_to("Close")
    view.press("Enter")
    assert dialog.count() == 0
    view.page.wait_for_function("document.activeElement.textContent.trim() === 'warning: 3.jpg'")  # looked at last


def test_the_theme_is_changed_by_a_button(view: View) -> None:
    def colors() -> tuple[str, str]:
        return view.page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )

    light, pressed = colors(), view.page.get_by_role("button", name="Dark colours")
    view.tab_to("Dark colours")
    assert pressed.get_attribute("aria-pressed") == "false"
    view.press("Enter")
    assert pressed.get_attribute("aria-pressed") == "true"
    assert colors() != light
    view.press("Space")
    assert colors() == light


def test_the_first_stop_of_tab_skips_to_the_content_and_the_navigation_knows_the_section(view: View) -> None:
    view.press("Tab")
    assert view.focused == "Skip to the content"
    view.press("Enter")
    assert view.page.evaluate("document.activeElement.id") == "main"
    link = view.page.get_by_role("navigation").get_by_role("link", name="Labels")
    link.focus()
    view.press("Enter")
    view.page.wait_for_function("document.querySelector('.bar-links [aria-current]').textContent === 'Labels'")
    heading = view.page.get_by_role("heading", name="Labels").bounding_box()
    assert heading is not None
    assert 48 <= heading["y"] < 400  # below the bar
