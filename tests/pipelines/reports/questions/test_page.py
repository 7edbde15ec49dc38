import json
import subprocess
import sys
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256

import pytest

from pipelines.reports.questions.page import questions_page
from tests.pipelines.reports.html.made_page import HOSTILE, webp
from tests.pipelines.reports.html.seen import Seen
from tests.pipelines.reports.questions.made_questions import hostile_questions, question, questions


def text_of(html: str) -> str:
    """What is read on the page, in one line, with ordinary spaces."""
    return " ".join(Seen(html.replace("</dt>", "</dt> ")).text.split()).replace("\u202f", " ")


def known(html: str) -> dict:
    """What the page's script is told."""
    return json.loads(html.split('id="known">')[1].split("</script>")[0])


def test_a_question_says_all_that_is_known_of_the_image() -> None:
    text = text_of(
        questions_page("scans/monday", "f00", [replace(question(1), number=1, belongs=0.031, stands_for=12345.4)])
    )
    for said in (
        "Does it belong?", "oodscan questions on scans/monday", "Question 1 of 1", "speaks for about 12 345 images",
        "Nearest labels label 0", "3.1 % that it belongs", "score 0.500", "image folder/001.jpg",
        "shard shard-1.tar, record 7", "oodscan verdicts scans/monday --add verdicts.csv",
    ):  # fmt: skip
        assert said in text
    assert "nearest negative" not in text


def test_labels_stand_nearest_first_and_so_does_the_negative_label_if_there_is_one() -> None:
    text = text_of(questions_page("s", "f", [replace(question(3), number=1)]))
    assert "Nearest labels label 0 label 1 label 2 nearest negative a negative" in text


def test_a_question_without_labels_and_picture_says_the_rest() -> None:
    bare = replace(question(1), nearest_labels=[], image=None, stands_for=0.2, key="")
    text = text_of(questions_page("s", "f", [bare]))
    assert "no picture" in text
    assert "speaks for about 1 image the scan guesses" in text
    assert "image record 7 of shard-1.tar" in text
    assert "Nearest labels" not in text


def test_a_page_without_questions_says_so() -> None:
    html = questions_page("scans/monday", "f00", [])
    assert "There are no questions." in html
    assert "data-does" not in html


def test_a_picture_that_is_asked_about_twice_is_stored_once() -> None:
    html = questions_page("s", "f", [replace(one, image=webp(5)) for one in questions(3)])
    assert html.count(b64encode(webp(5)).decode()) == 1
    assert html.count('class="image p0"') == 3


def test_the_script_is_told_every_text_as_it_is() -> None:
    asked = hostile_questions()
    found = known(questions_page("s", "</script>\u2028", asked))
    assert found["asked"] == [[one.shard, one.index, one.key] for one in asked]
    assert found["name"] == "oodscan verdicts </script>\u2028"


def test_text_by_others_adds_no_element_and_no_attribute() -> None:
    hostile = questions_page(HOSTILE[0], HOSTILE[0], hostile_questions())
    tame = questions_page("s", "f", [replace(question(1), number=1, negative_label="x")])
    tags, expected = ({tag for tag, _ in Seen(html).tags} for html in (hostile, tame))
    assert tags - {"wbr"} == expected - {"wbr"}
    assert hostile.count("</script>") == tame.count("</script>") == 2
    names = {name for _, attributes in Seen(hostile).tags for name in attributes}
    assert [name for name in names if name.startswith("on") or name in ("src", "style", "autofocus")] == []
    assert [letter for letter in hostile if not letter.isprintable() and letter not in "\n\u202f"] == []
    assert "k" * 161 not in hostile.split("</main>")[0]


def test_the_policy_lets_only_the_pages_own_style_and_script_act() -> None:
    html = questions_page("s", "f", questions(2))
    policy = next(said["content"] for _, said in Seen(html).tags if said.get("http-equiv") == "Content-Security-Policy")
    style, script = (html.split(f"<{tag}>")[1].split(f"</{tag}>")[0] for tag in ("style", "script"))
    hashes = [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in (style, script)]
    assert policy == (
        f"default-src 'none'; img-src data:; style-src {hashes[0]}; script-src {hashes[1]}; "
        "base-uri 'none'; form-action 'none'"
    )


@pytest.mark.parametrize(
    ("scan", "shown"),
    [
        ("s3://bucket/a b", "verdicts 's3://bucket/a b' --add"),
        ("a\nb", "verdicts SCAN --add"),
        ("a" * 200, "verdicts SCAN --add"),
    ],
)
def test_the_command_can_be_pasted_into_a_shell(scan: str, shown: str) -> None:
    assert shown in text_of(questions_page(scan, "f", questions(1)))


def test_questions_out_of_order_and_pictures_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match=r"from 1 in order: \[2\]"):
        questions_page("s", "f", [question(2)])
    with pytest.raises(ValueError, match="'folder/001.jpg' is no WebP file"):
        replace(question(1), image=b"<svg>")


def test_a_page_needs_neither_torch_nor_ray() -> None:
    code = "import sys; from pipelines.reports.questions import page; print({'torch', 'ray'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "set()\n"
