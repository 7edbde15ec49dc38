"""Questions answered in Chromium with the keyboard alone, and the file that is saved."""

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Browser

from tests.pipelines.reports.browser import View, opened
from tests.pipelines.reports.questions.made_questions import hostile_questions, questions

VERDICTS = {"y": "yes", "n": "no", "u": "unsure"}
KEYS = "ynuynnyyuynyynuunyyn"
HEADER = ["shard", "index", "key", "verdict", "by", "at"]


def place(view: View) -> str:
    """The heading that is seen."""
    return view.page.locator("main h2:visible").inner_text()


def progress(view: View) -> str:
    assert view.page.locator("progress").get_attribute("max") == "20"
    return (
        f"{view.page.locator('progress').evaluate('one => one.value')}: {view.page.locator('.answered').inner_text()}"
    )


def saved(view: View) -> list[list[str]]:
    """The rows of the file that `s` saves."""
    with view.page.expect_download() as download:
        view.press("s")
    assert download.value.suggested_filename == "verdicts.csv"
    content = Path(download.value.path()).read_bytes()
    assert content.startswith(b"shard,index,key,verdict,by,at\r\n")
    return list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))


def named(view: View, name: str) -> None:
    """Types the reviewer's name."""
    view.tab_to("")  # the empty field
    view.page.keyboard.type(name)
    view.press("Escape")


def test_twenty_questions_are_answered_and_saved(view: View) -> None:
    began = datetime.now(UTC)
    for number, key in enumerate(KEYS, 1):
        assert (place(view), progress(view)) == (
            f"Question {number} of 20",
            f"{number - 1}: {number - 1} of 20 answered",
        )
        view.press(key)
    assert (place(view), progress(view)) == ("All 20 are answered.", "20: 20 of 20 answered")
    assert view.page.get_by_text("oodscan verdicts scans/monday --add verdicts.csv").is_visible()
    assert view.page.locator(".tally").inner_text().split() == ["belongs", "9", "does", "not", "7", "unsure", "4"]
    named(view, 'Ada "y" Ünsal, MD')
    header, *rows = saved(view)
    assert header == HEADER
    expected = [
        [one.shard, str(one.index), one.key, VERDICTS[key]] for one, key in zip(questions(20), KEYS, strict=True)
    ]
    assert [row[:4] for row in rows] == expected
    assert {row[4] for row in rows} == {'Ada "y" Ünsal, MD'}
    times = [datetime.fromisoformat(row[5]) for row in rows]
    second = timedelta(seconds=1)
    assert times == sorted(times)
    assert began - second <= times[0] <= times[-1] <= datetime.now(UTC) + second


def test_arrows_go_on_without_an_answer_and_the_next_open_question_comes_after_one(view: View) -> None:
    view.press("ArrowLeft")
    assert place(view) == "Question 1 of 20"
    view.press("ArrowRight", "ArrowRight", "y")
    assert (place(view), progress(view)) == ("Question 4 of 20", "1: 1 of 20 answered")
    view.press("ArrowLeft", "ArrowLeft", "n")  # question 3 is answered already
    assert place(view) == "Question 4 of 20"
    view.press("ArrowLeft")
    assert view.page.get_by_role("button", name="Belongs", exact=True).get_attribute("aria-pressed") == "true"
    view.press(*["ArrowRight"] * 30, "u")  # after the last one comes the first that is open
    assert place(view) == "Question 1 of 20"


def test_undo_takes_back_one_answer_after_the_other_and_what_was_answered_before_stands(view: View) -> None:
    view.press("y", "n", "ArrowLeft", "ArrowLeft", "u")  # question 1 again, after it was answered yes
    pressed = view.page.locator(".answers [aria-pressed=true]")
    view.press("z")
    assert (place(view), pressed.get_attribute("data-does")) == ("Question 1 of 20", "yes")
    view.press("Control+z")
    assert (place(view), pressed.count(), progress(view)) == ("Question 2 of 20", 0, "1: 1 of 20 answered")
    view.press("Meta+z", "z")
    assert (place(view), progress(view)) == ("Question 1 of 20", "0: 0 of 20 answered")
    assert view.page.get_by_text("There is nothing to undo.").is_visible()


def test_a_reload_keeps_answers_and_name_and_they_can_still_be_undone(view: View) -> None:
    view.press(*"ynu")
    named(view, "Ada")
    view.page.reload()
    assert (place(view), progress(view)) == ("Question 4 of 20", "3: 3 of 20 answered")
    view.press("z")
    rows = saved(view)[1:]
    assert [(row[2], row[3], row[4]) for row in rows] == [
        ("folder/001.jpg", "yes", "Ada"), ("folder/002.jpg", "no", "Ada"),
    ]  # fmt: skip
    view.press(*"y" * 18)
    view.page.reload()
    assert place(view) == "All 20 are answered."
    view.press("z")
    assert place(view) == "Question 20 of 20"


def test_a_name_is_wanted_before_anything_is_saved_and_typing_it_answers_nothing(view: View) -> None:
    view.press("s")
    assert view.page.get_by_text("There is no answer to save yet.").is_visible()
    view.press("y", "s")
    assert view.page.get_by_role("alert").inner_text() == "Whose answers are these? Type your name and press Enter."
    assert view.page.evaluate("document.activeElement.id") == "by"
    view.page.keyboard.type("synz un")
    assert progress(view) == "1: 1 of 20 answered"
    with view.page.expect_download():
        view.press("Enter")
    assert view.page.get_by_role("alert").inner_text() == ""
    assert view.page.get_by_text("Saved: 1 of 20 answers, as verdicts.csv.").is_visible()
    view.press("n")  # the field has lost the focus
    assert progress(view) == "2: 2 of 20 answered"


def test_a_key_that_is_held_down_or_part_of_a_shortcut_answers_nothing_more(view: View) -> None:
    view.page.keyboard.down("y")
    view.page.keyboard.down("y")
    view.page.keyboard.down("y")
    view.page.keyboard.up("y")
    assert progress(view) == "1: 1 of 20 answered"
    view.press("Control+y", "Alt+n", "Control+Shift+z", "Control+u")
    assert progress(view) == "1: 1 of 20 answered"
    view.press("Shift+N")
    assert progress(view) == "2: 2 of 20 answered"


def test_buttons_and_marks_are_reached_by_tab_and_a_mark_moves_with_the_arrows(view: View) -> None:
    view.tab_to("BelongsY")
    view.press("Enter", "Space")
    assert progress(view) == "2: 2 of 20 answered"
    view.tab_to("Question 3: open")
    view.press("ArrowRight")
    assert (place(view), view.focused) == ("Question 4 of 20", "Question 4: open")


def test_texts_by_others_are_in_the_file_as_they_are(browser: Browser, hostile: Path) -> None:
    asked = hostile_questions()
    with opened(browser, hostile) as seen:
        seen.press(*"y" * len(asked))
        named(seen, "=1+1")
        rows = saved(seen)[1:]
        assert [row[:5] for row in rows] == [[one.shard, str(one.index), one.key, "yes", "=1+1"] for one in asked]
        assert (seen.outside, seen.errors) == ([], [])
