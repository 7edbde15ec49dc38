import pytest

from pipelines.reports.html.blocks import Cell, Column, Gallery, Grid, Picture, Value
from pipelines.reports.html.cells import ShownCell, shown_rows


def column(kind: str, *values: Value) -> list[ShownCell]:
    columns = [Column("x", kind=kind)]  # pyright: ignore[reportArgumentType]
    return [row[0] for row in shown_rows(Grid("", columns, [[value] for value in values]))]


def test_text_is_shown_as_it_is_and_nothing_as_nothing() -> None:
    assert column("text", "fig", 7, None) == [ShownCell("fig"), ShownCell("7"), ShownCell("")]


def test_numbers_of_a_column_have_the_same_places_and_sort_by_all_their_digits() -> None:
    assert column("number", 12.3456789, -0.5, 1234, None) == [
        ShownCell("12.35", "12.3456789"),
        ShownCell("−0.50", "-0.5"),
        ShownCell("1\u202f234", "1234"),
        ShownCell("–", ""),
    ]


def test_a_share_has_a_bar_in_proportion_to_the_largest() -> None:
    assert [(cell.text, cell.bar) for cell in column("share", 0.2, 0.1, 0.0, 0.0001, None)] == [
        ("20.0\u202f%", 20),
        ("10.0\u202f%", 10),
        ("0.0\u202f%", 0),
        ("<0.1\u202f%", 1),  # what is not nothing can be seen
        ("–", 0),
    ]


def test_what_is_no_number_is_sorted_last_and_infinity_first_or_last_but_one() -> None:
    cells = column("number", float("nan"), float("inf"), float("-inf"), "?")
    assert [(cell.text, cell.sort) for cell in cells] == [
        ("NaN", ""),
        ("∞", "Infinity"),
        ("−∞", "-Infinity"),
        ("?", ""),
    ]


def test_a_cell_is_sorted_by_what_it_says_to_be_sorted_by() -> None:
    assert column("number", Cell("about 5", 5, "warn", "or 6")) == [ShownCell("about 5", "5", None, "warn", "or 6")]
    assert column("text", Cell("fig", "b")) == [ShownCell("fig", "b")]
    assert column("text", Cell("fig", tone="bad")) == [ShownCell("fig", "fig", None, "bad")]  # not by "bad: fig"


def test_a_row_has_a_cell_for_each_column() -> None:
    with pytest.raises(ValueError, match="2 columns, and a row of 1 cells"):
        Grid("x", [Column("a"), Column("b")], [["only one"]])


@pytest.mark.parametrize(
    "make",
    [lambda: Grid("x", [Column("a")], [["1"], ["2"]], 1), lambda: Gallery("x", [Picture(None, "")] * 2, total=1)],
)
def test_a_total_is_not_below_what_is_shown(make) -> None:
    with pytest.raises(ValueError, match="shows 2 of 1"):
        make()


def test_a_picture_is_a_webp_file() -> None:
    with pytest.raises(ValueError, match="no WebP file"):
        Picture(b"<svg onload=alert(1)>", "x")
