import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ood_core.negfilter.decisions import DECISIONS, NO, NO_ANSWER, YES, decide

IS_SAME = 2
"""In the rows below: the ID label is the negative itself, which no judge is asked about."""


def decided(rows: list[tuple[int, list[int]]], nearest: int) -> list[tuple[str, int]]:
    """The decision and the rank for rows of an answer to the proper noun and one for each ID label."""
    proper = np.array([answer for answer, _ in rows], np.int8)
    labels = np.array([answers for _, answers in rows], np.int8).reshape(len(rows), nearest)
    found = decide(proper, labels == IS_SAME, np.where(labels == IS_SAME, NO, labels).astype(np.int8))
    return [(DECISIONS[decision], int(rank)) for decision, rank in zip(found.decision, found.rank, strict=True)]


def authors_loop(proper: int, answers: list[int]) -> tuple[str, int]:
    """METHODS.md §5, one label and one question at a time; what has no answer removes nothing."""
    if proper == YES:
        return "proper-noun", 0
    for rank, answer in enumerate(answers, start=1):
        if answer == IS_SAME:
            return "same", rank
        if answer == YES:
            return "subcategory", rank
    return ("unjudged" if NO_ANSWER in (proper, *answers) else "kept"), 0


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, list[tuple[int, list[int]]]]:
    nearest = draw(st.integers(0, 4))
    answers = st.lists(st.sampled_from([YES, NO, NO_ANSWER, IS_SAME]), min_size=nearest, max_size=nearest)
    return nearest, draw(st.lists(st.tuples(st.sampled_from([YES, NO, NO_ANSWER]), answers), max_size=8))


@given(tables())
def test_decisions_are_those_of_the_authors_loop(table: tuple[int, list[tuple[int, list[int]]]]) -> None:
    nearest, rows = table
    assert decided(rows, nearest) == [authors_loop(*row) for row in rows]


@pytest.mark.parametrize(
    ("proper", "answers", "expected"),
    [
        (NO, [NO, NO, NO], ("kept", 0)),
        (YES, [NO, NO, NO], ("proper-noun", 0)),
        (NO, [NO, YES, NO], ("subcategory", 2)),
        (NO, [NO, NO, IS_SAME], ("same", 3)),
        (YES, [YES, IS_SAME, NO], ("proper-noun", 0)),  # the name is asked about first
        (NO, [NO, YES, YES], ("subcategory", 2)),  # the nearest of two
        (NO, [YES, IS_SAME, NO], ("subcategory", 1)),
        (NO, [IS_SAME, YES, NO], ("same", 1)),
        (NO_ANSWER, [NO, NO, NO], ("unjudged", 0)),
        (NO, [NO, NO_ANSWER, NO], ("unjudged", 0)),
        (YES, [NO_ANSWER, NO_ANSWER, NO_ANSWER], ("proper-noun", 0)),
        (NO_ANSWER, [NO_ANSWER, YES, NO_ANSWER], ("subcategory", 2)),  # a yes is enough
        (NO_ANSWER, [NO_ANSWER, NO, IS_SAME], ("same", 3)),
    ],
)
def test_a_label_goes_for_the_first_reason_there_is(proper: int, answers: list[int], expected: tuple[str, int]) -> None:
    assert decided([(proper, answers)], 3) == [expected]


def test_where_a_label_is_both_the_same_and_a_subcategory_it_goes_as_the_same() -> None:
    found = decide(np.array([NO], np.int8), np.array([[True]]), np.array([[YES]], np.int8))
    assert (DECISIONS[found.decision[0]], found.rank.tolist()) == ("same", [1])


def test_without_id_labels_only_names_go() -> None:
    assert decided([(YES, []), (NO, []), (NO_ANSWER, [])], 0) == [("proper-noun", 0), ("kept", 0), ("unjudged", 0)]


def test_no_labels_are_no_decisions() -> None:
    assert decided([], 3) == []
