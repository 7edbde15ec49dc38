"""Reports as text, Markdown or JSON. Text by others is escaped, so that it cannot act on a terminal."""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

FORMATS = ("text", "markdown", "json")
LONGEST = 160
"""The most characters of a cell, heading or note in text and Markdown; longer ones are cut. JSON has all."""
Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """A table with a heading; columns of numbers are aligned right. Without a header only the heading is shown."""

    heading: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def to_text(self) -> str:
        rows = [list(self.header), *([_plain(cell) for cell in row] for row in self.rows)]
        widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
        right = self._numeric()
        lines = ["  ".join(_padded(*cell) for cell in zip(row, widths, right, strict=True)).rstrip() for row in rows]
        return "\n".join([visible(self.heading), *(f"  {line}" for line in lines if self.header)]) + "\n"

    def to_markdown(self) -> str:
        rows = [list(self.header), *([_plain(cell) for cell in row] for row in self.rows)]
        lines = ["| " + " | ".join(map(_escaped, row)) + " |" for row in rows]
        lines.insert(1, "|" + "".join("---:|" if right else "---|" for right in self._numeric()))
        return "\n".join([f"## {_escaped(visible(self.heading))}", *(["", *lines] if self.header else [])]) + "\n"

    def _numeric(self) -> list[bool]:
        columns = zip(*self.rows, strict=True) if self.rows else [() for _ in self.header]
        return [all(not isinstance(cell, str) for cell in column) for column in columns]


@dataclass(frozen=True)
class Report:
    """A title, notes that the reader should know first, and tables."""

    title: str
    tables: Sequence[Table]
    notes: Sequence[str] = ()

    def to_text(self) -> str:
        lines = [visible(line) + "\n" for line in (self.title, *self.notes)]
        return "".join(lines) + "".join("\n" + table.to_text() for table in self.tables)

    def to_markdown(self) -> str:
        blocks = [f"# {_escaped(visible(self.title))}\n", *(_escaped(visible(note)) + "\n" for note in self.notes)]
        return "\n".join([*blocks, *(table.to_markdown() for table in self.tables)])


class Reported(Protocol):
    """Anything that can be printed in every one of `FORMATS`."""

    def report(self) -> Report: ...

    def to_json(self) -> dict[str, Any]: ...


def rendered(found: Reported, form: str) -> str:
    """A report as text in one of `FORMATS`."""
    if form == "json":
        return json.dumps(found.to_json(), indent=2) + "\n"
    return found.report().to_markdown() if form == "markdown" else found.report().to_text()


def visible(text: str) -> str:
    """The text in one line, with an escape for each character that does not print, and cut to `LONGEST`."""
    cut = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in cut)


def _plain(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return visible(cell)
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:#.6g}"


def _escaped(text: str) -> str:
    """The text with Markdown's special characters escaped, so that it is shown as it is."""
    return re.sub(r"[\\`*_\[\]<>|&~$]", r"\\\g<0>", text)


def _width(text: str) -> int:
    """The number of columns that a terminal gives the text."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space
