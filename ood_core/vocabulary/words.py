"""Words: the entries of a corpus, and the two kinds of word file a user may bring."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Part = Literal["noun", "adjective"]


@dataclass(frozen=True)
class Word:
    """A word or phrase of a corpus, and the part of speech that chooses its prompt (the label bank's `part`)."""

    text: str
    part: Part = "noun"

    def __post_init__(self) -> None:
        if not self.text or self.text != self.text.strip():
            raise ValueError(f"a word must not be empty or begin or end with a space, not {self.text!r}")
        if self.part not in ("noun", "adjective"):
            raise ValueError(f"part must be 'noun' or 'adjective', not {self.part!r}")


def corpus_texts(lines: Iterable[bytes]) -> Iterator[str]:
    """The words of a corpus file's lines, one by one: UTF-8, kept as spelled, repeats too; blank lines are dropped.

    `#` begins no comment. Raises ValueError naming the first line that is not UTF-8.
    """
    return (text for _, text in _lines(lines) if text)


def id_labels(content: bytes) -> list[str]:
    """The labels of an ID label file: UTF-8, one a line, kept as spelled and in order.

    Order and number are meant here, so nothing is dropped but blank lines at the end. `#` begins no comment: "C#" is
    a label. Raises ValueError naming the lines: not UTF-8, blank, repeated, or no labels at all.
    """
    lines = list(_lines(content.split(b"\n")))
    while lines and not lines[-1][1]:
        lines.pop()
    if not lines:
        raise ValueError("no labels: the file is empty")
    blanks = [number for number, text in lines if not text]
    if blanks:
        raise ValueError(f"blank where a label should be, on {_numbered(blanks)}")
    where: dict[str, list[int]] = {}
    for number, text in lines:
        where.setdefault(text, []).append(number)
    repeats = [f"{text!r} on {_numbered(numbers)}" for text, numbers in where.items() if len(numbers) > 1]
    if repeats:
        raise ValueError(f"labels must differ, found {_some(repeats, '; ')}")
    return list(where)


def _lines(lines: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """Each line's number, from 1, and its text without surrounding white space and byte order mark."""
    for number, line in enumerate(lines, start=1):
        try:
            yield number, (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise ValueError(f"line {number} is not UTF-8: {line[:80]!r} ({error.reason})") from error


def _numbered(numbers: list[int]) -> str:
    return ("line " if len(numbers) == 1 else "lines ") + _some([str(number) for number in numbers], ", ")


def _some(items: list[str], separator: str, most: int = 10) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return separator.join(items[:most]) + more
