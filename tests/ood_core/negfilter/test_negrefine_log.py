import pytest

from ood_core.negfilter.negrefine_log import read_log

LOG = """\
white currant | collie |\x20
white currant | rose hip |\x20
samarkand | proper noun\x20
assegai | missile |\x20
assegai | missile | subcategory\x20
dog | dog | the same\x20
---------------------------------------------
n_proper: 1
"""


def test_a_log_is_read_in_the_authors_order() -> None:
    assert list(read_log(LOG.splitlines()).items()) == [
        (("white currant", None), False),  # not logged, but else its ID labels had not been asked about
        (("white currant", "collie"), False),
        (("white currant", "rose hip"), False),
        (("samarkand", None), True),
        (("assegai", None), False),
        (("assegai", "missile"), True),  # two ID labels of one name: the last answer ended the questions
        (("dog", None), False),
    ]


def test_a_log_that_was_cut_short_holds_what_it_holds() -> None:
    assert read_log(["white currant | collie | "]) == {
        ("white currant", None): False,
        ("white currant", "collie"): False,
    }
    assert read_log([]) == {}


@pytest.mark.parametrize(
    "line", ["n_proper: 1", "", "a | b | maybe", "a | b | c | d", " | proper noun", "a |  | ", "a | b"]
)
def test_a_line_of_another_kind_is_named(line: str) -> None:
    with pytest.raises(ValueError, match=r"^line 2 is not of NegRefine's log: "):
        read_log(["samarkand | proper noun", line])
