import pytest
from hypothesis import given
from hypothesis import strategies as st

from ood_core.negfilter.questions import QUESTIONS, clean, prompt, question_id, questions


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("adam's peak", "adams peak"),
        ("black-eyed_susan", "black-eyed_susan"),
        ('biosafety level 2"', "biosafety level"),  # and no space behind
        ("[aqueous pattern", "aqueous pattern"),
        ("café crème", "café crème"),
        ("Paris", "Paris"),
        ("9/11", ""),
        ("tab\tnewline\n", "tabnewline"),
    ],
)
def test_letters_underscores_hyphens_and_spaces_are_left(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text())
def test_what_is_clean_stays_as_it_is(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    ("negative", "id_label", "expected"),
    [
        ("paris", None, -7216748667917624298),
        ("golden retriever", "dog", -4157842637978240085),
        ("dog", "golden retriever", 1416707738389768167),
        ("café", "crème", 7789001246213631564),
        ("", "", -841698985291186350),
    ],
)
def test_a_question_keeps_its_id(negative: str, id_label: str | None, expected: int) -> None:
    assert question_id(negative, id_label) == expected  # answers are kept by it, over versions of this code


@given(st.lists(st.tuples(st.text(), st.none() | st.text()), unique=True))
def test_different_questions_have_different_ids(asked: list[tuple[str, str | None]]) -> None:
    assert len({question_id(*question) for question in asked}) == len(asked)


def test_the_table_has_a_row_for_every_question() -> None:
    table = questions([("paris", None, None), ("poodle", "dog", 1)])
    assert table.schema == QUESTIONS
    assert table.drop_columns(["question"]).to_pylist() == [
        {"kind": "proper-noun", "negative": "paris", "id_label": None, "rank": None},
        {"kind": "subcategory", "negative": "poodle", "id_label": "dog", "rank": 1},
    ]
    assert table["question"].to_pylist() == [question_id("paris", None), question_id("poodle", "dog")]


def test_no_questions_are_an_empty_table() -> None:
    assert (len(questions([])), questions([]).schema) == (0, QUESTIONS)


def test_questions_are_in_the_authors_words() -> None:
    assert prompt("poodle", "dog") == "Is 'poodle' a subcategory of 'dog'?"
    assert prompt("paris", None) == (
        "Is 'paris' a proper noun, like the name of a city, country, mountain, river, or any unique place or entity?"
    )
