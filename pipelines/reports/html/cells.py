"""How the values of a grid are shown and sorted."""

import math
import numbers
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.reports.html.blocks import Cell, Column, Grid, Tone, Value
from pipelines.reports.html.wording import count, decimal, places, share
from pipelines.reports.tables import visible

STEPS = 20
"""In how many steps the bar beside a share grows."""


@dataclass(frozen=True, slots=True)
class ShownCell:
    """A cell as the page has it. `sort` is None where the text says it; `bar`: of `STEPS`, None without a bar."""

    text: str
    sort: str | None = None
    bar: int | None = None
    tone: Tone = "neutral"
    note: str = ""


def shown_rows(grid: Grid) -> Iterator[tuple[ShownCell, ...]]:
    """The rows of a grid, as the page has them."""
    columns = [list(column) for column in zip(*grid.rows, strict=True)]
    shown = [_shown_column(column, cells) for column, cells in zip(grid.columns, columns, strict=bool(columns))]
    return zip(*shown, strict=True)


def _shown_column(column: Column, values: Sequence[Value]) -> list[ShownCell]:
    if not column.numeric:
        return [_shown_text(value) for value in values]
    known = [number for number in map(_number, values) if number is not None and math.isfinite(number)]
    largest, digits = max(known, default=0.0), places(value for value in values if isinstance(value, float))
    return [_shown_number(column, value, largest, digits) for value in values]


def _shown_text(value: Value) -> ShownCell:
    if isinstance(value, Cell):
        sort = value.text if value.sort is None else str(value.sort)
        own = value.sort is None and value.tone == "neutral"
        return ShownCell(visible(value.text), None if own else visible(sort), None, value.tone, value.note)
    return ShownCell("" if value is None else visible(str(value)))


def _shown_number(column: Column, value: Value, largest: float, digits: int) -> ShownCell:
    """A number, with a bar in proportion to the largest of the column if it is a share."""
    number = _number(value)
    sort = "" if number is None else f"{number:.9g}".replace("inf", "Infinity")
    bar = _bar(number, largest) if column.kind == "share" else None
    if isinstance(value, Cell):
        return ShownCell(visible(value.text), sort, bar, value.tone, value.note)
    if value is None or isinstance(value, str):
        return ShownCell("–" if value is None else visible(value), sort, bar)
    if column.kind == "share":
        return ShownCell(share(value), sort, bar)
    return ShownCell(count(int(value)) if isinstance(value, numbers.Integral) else decimal(value, digits), sort)


def _bar(number: float | None, largest: float) -> int:
    """In how many of `STEPS` the number is to the largest; what is above zero has one at least."""
    if number is None or largest <= 0:
        return 0
    return math.ceil(STEPS * max(0.0, min(1.0, number / largest)))


def _number(value: Value) -> float | None:
    """What a numeric column sorts the value by; None, which comes last, if that is no number."""
    sort = value.sort if isinstance(value, Cell) else value
    return None if sort is None or isinstance(sort, str) or math.isnan(sort) else float(sort)
