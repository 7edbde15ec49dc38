import subprocess
import sys
from base64 import b64encode
from hashlib import sha256

import pytest

from pipelines.reports.html.blocks import Column, Gallery, Grid, Picture, Prose
from pipelines.reports.html.page import Fact, Page, Section, Verdict
from pipelines.reports.html.render import render
from tests.pipelines.reports.html.made_page import HOSTILE, full_page, hostile_page, page, webp
from tests.pipelines.reports.html.seen import Seen

OWN_TAGS = {
    "html", "head", "meta", "title", "link", "style", "script", "body", "nav", "main", "header", "section", "footer",
    "a", "ul", "li", "h1", "h2", "h3", "h4", "h5", "h6", "p", "div", "span", "i", "small", "wbr", "dl", "dt", "dd",
    "figure", "figcaption", "button", "label", "input", "details", "summary", "dialog", "table", "thead", "tbody", "tr",
    "th", "td", "svg", "circle", "path", "g", "line", "text",
}  # fmt: skip


@pytest.fixture(scope="module")
def hostile() -> str:
    return render(hostile_page())


def test_text_by_others_adds_no_element_and_no_attribute(hostile: str) -> None:
    tags = Seen(hostile).tags
    assert {tag for tag, _ in tags} == OWN_TAGS
    assert [tag for tag, _ in tags if tag in ("script", "style", "title")] == ["title", "style", "script"]
    names = {name for _, attributes in tags for name in attributes}
    assert [
        name for name in names if name.startswith("on") or name in ("src", "style", "autofocus", "formaction")
    ] == []
    assert {attributes["href"] for _, attributes in tags if "href" in attributes} == {
        "data:,", "#main", "#top", "#plots", *(f"#part-{number}" for number in range(len(HOSTILE))),
    }  # fmt: skip


def test_text_by_others_is_shown_as_it_is_or_as_escapes(hostile: str) -> None:
    text = Seen(hostile).text
    for shown in (*HOSTILE[:8], "\\u202egpj.exe\\u2066", "a\\nb\\x00\\x1b[31m\\ud800", "k" * 159 + "…"):
        assert shown in text
    assert "k" * 160 not in hostile
    assert [letter for letter in hostile if not letter.isprintable() and letter not in "\n\u202f"] == []
    assert "49" not in text.replace("149", "")  # of {{7*7}}


def test_the_policy_lets_only_the_pages_own_style_and_script_act() -> None:
    html = render(full_page())
    tags = dict(Seen(html).tags)
    assert tags  # the policy stands before all that it is about
    assert html.index("Content-Security-Policy") < html.index("<style>") < html.index("<script>")
    policy = next(said["content"] for _, said in Seen(html).tags if said.get("http-equiv") == "Content-Security-Policy")
    style, script = (html.split(f"<{tag}>")[1].split(f"</{tag}>")[0] for tag in ("style", "script"))
    hashes = [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in (style, script)]
    assert policy == (
        f"default-src 'none'; img-src data:; style-src {hashes[0]}; script-src {hashes[1]}; "
        "base-uri 'none'; form-action 'none'"
    )


def test_a_page_weighs_little_of_itself() -> None:
    assert len(render(page([])).encode()) < 30_000


def test_a_page_is_the_same_every_time() -> None:
    assert render(full_page()) == render(full_page())


def test_a_picture_that_is_shown_twice_is_stored_once() -> None:
    image = webp(5)
    html = render(
        page([Gallery("a", [Picture(image, "x")] * 3), Gallery("b", [Picture(image, "y"), Picture(webp(6), "z")])])
    )
    assert html.count(b64encode(image).decode()) == 1
    assert html.count('class="image p0"') == 4


def test_what_is_left_out_of_a_page_is_said() -> None:
    grid, gallery = Grid("g", [Column("a")], [["x"]], total=12345), Gallery("h", [Picture(None, "x")], total=99)
    text = " ".join(Seen(render(page([grid, gallery]))).text.split())
    assert "the first 1 of 12 345 rows" in text.replace("\u202f", " ")
    assert "the first 1 of 99" in text
    assert "no picture" in text


def test_a_short_table_has_no_filter_and_an_empty_one_says_so() -> None:
    html = render(
        page([Grid("short", [Column("a")], [["x"]] * 8), Grid("none", [Column("a")], [], empty="All is well.")])
    )
    assert 'type="search"' not in html
    assert html.count("<table>") == 1
    assert "All is well." in html


def test_a_block_without_a_title_has_no_heading() -> None:
    assert [
        tag for tag, _ in Seen(render(page([Grid("", [Column("a")], [["x"]]), Prose(["y"])]))).tags if tag == "h3"
    ] == []


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Section("x", 'a"b', []), "section id"),
        (lambda: Verdict("great", "x"), "tone 'great'"),  # pyright: ignore[reportArgumentType]
        (lambda: Fact("x", "y", tone="great"), "tone 'great'"),  # pyright: ignore[reportArgumentType]
        (lambda: Page("x", "", Verdict("good", ""), [], [Section("x", "a", [])] * 2), "not unique: a, a"),
    ],
)
def test_what_no_page_can_have_cannot_be_made(make, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        make()


def test_the_kit_needs_neither_torch_nor_ray() -> None:
    code = "import sys; from pipelines.reports.html import plots, render; print({'torch', 'ray'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "set()\n"
