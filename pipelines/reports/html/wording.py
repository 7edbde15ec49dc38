"""Text by others and numbers, as they stand in a page."""

import math
import re
from collections.abc import Iterable

from markupsafe import Markup, escape

from pipelines.reports.tables import visible

NARROW = "\u202f"
"""The space that does not break and is half as wide: between thousands, and before the percent sign."""


def readable(text: str) -> str:
    """The text in one line, with an escape for each character that does not print, and words cut to 160 characters.

    Unlike `visible` it takes a text of any length, and leaves spaces that do not break as they are.
    """
    return re.sub(rf"[^ \u00a0{NARROW}]+", lambda word: visible(word[0]), text)


def breakable(text: str) -> Markup:
    """The text as `visible` has it, as HTML that may be broken after the signs that join the parts of file names."""
    return Markup(re.sub(r"[/_.-](?=\w)", r"\g<0><wbr>", str(escape(visible(text)))))  # noqa: S704


def count(number: int) -> str:
    """A whole number with thin spaces between thousands: 12 345."""
    return _minus(f"{number:,}").replace(",", NARROW)


def share(part: float) -> str:
    """A part of one in percent: 2.1 %. What is neither nothing nor all is never shown as 0.0 % or 100.0 %."""
    if not math.isfinite(part):
        return decimal(part, 1)
    if 0 < part < 0.0005:
        return f"<0.1{NARROW}%"
    if 0.9995 <= part < 1:
        return f">99.9{NARROW}%"
    return f"{decimal(part * 100, 1)}{NARROW}%"


def decimal(number: float, places: int) -> str:
    """A number with so many places after the point; one that would be shown as zero and is not has two digits."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "∞" if number > 0 else "−∞"
    text = f"{number + 0.0:,.{places}f}"
    if number and not text.strip("-0.,"):
        text = f"{number:.2g}"
    return _minus(text).replace(",", NARROW)


def places(numbers: Iterable[float]) -> int:
    """How many places after the point give the largest of the numbers three or four digits."""
    largest = max((abs(number) for number in numbers if math.isfinite(number)), default=0.0)
    power = math.floor(math.log10(largest)) if largest else 2
    return max(0, 3 - power) if power >= 0 else min(2 - power, 9)


def _minus(text: str) -> str:
    return text.replace("-", "−")
