import pytest

from pipelines.reports.html.wording import breakable, count, decimal, places, readable, share


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (0.0, "0.0\u202f%"),
        (0.021, "2.1\u202f%"),
        (1.0, "100.0\u202f%"),
        (0.00049, "<0.1\u202f%"),
        (0.0005, "0.1\u202f%"),  # 0.05 % is rounded up
        (0.99951, ">99.9\u202f%"),
        (-0.1, "−10.0\u202f%"),
        (float("nan"), "NaN"),
    ],
)
def test_a_share_is_shown_in_percent_and_only_nothing_as_zero(part: float, shown: str) -> None:
    assert share(part) == shown


@pytest.mark.parametrize(("number", "shown"), [(0, "0"), (999, "999"), (1234567, "1\u202f234\u202f567"), (-1, "−1")])
def test_thousands_of_a_count_are_set_apart(number: int, shown: str) -> None:
    assert count(number) == shown


@pytest.mark.parametrize(
    ("number", "digits", "shown"),
    [
        (1.25, 1, "1.2"),
        (-12345.678, 2, "−12\u202f345.68"),
        (0.00012, 3, "0.00012"),
        (-1.2e-7, 3, "−1.2e−07"),
        (0.0, 3, "0.000"),
        (-0.0, 1, "0.0"),
        (float("inf"), 2, "∞"),
        (float("-inf"), 2, "−∞"),
    ],
)
def test_a_number_that_is_not_zero_is_not_shown_as_zero(number: float, digits: int, shown: str) -> None:
    assert decimal(number, digits) == shown


@pytest.mark.parametrize(
    ("numbers", "digits"),
    [
        ([], 1),
        ([0.0], 1),
        ([0.5, 0.001], 3),
        ([0.02], 4),
        ([1e-20], 9),
        ([-3.2], 3),
        ([12.5], 2),
        ([123456.0], 0),
        ([float("inf"), 1.0], 3),
    ],
)
def test_the_largest_number_has_three_or_four_digits(numbers: list[float], digits: int) -> None:
    assert places(numbers) == digits


def test_text_of_any_length_is_readable_and_only_its_words_are_cut() -> None:
    assert readable("1\u202f000 images\u00a0\u202etxt\n") == "1\u202f000 images\u00a0\\u202etxt\\n"
    assert readable("word " * 100) == "word " * 100
    assert len(readable("k" * 5000)) == 160


def test_a_file_name_may_be_broken_where_its_parts_are_joined() -> None:
    assert breakable("a_b/<c>.jpg") == "a_<wbr>b/&lt;c&gt;.<wbr>jpg"
