"""What a section of a page is made of: prose, plots, tables, pictures, and tabs of these."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

Tone = Literal["good", "warn", "bad", "neutral"]
"""How something is to be taken; shown by colour and shape, and said to those who do not see them."""


def check_tone(tone: str) -> None:
    """Raises ValueError if there is no such tone."""
    if tone not in get_args(Tone):
        raise ValueError(f"tone {tone!r} is none of {', '.join(get_args(Tone))}")


def check_image(image: bytes | None, title: str) -> None:
    """Raises ValueError if there is a picture, and it is no WebP file."""
    if image is not None and (image[:4], image[8:12]) != (b"RIFF", b"WEBP"):
        raise ValueError(f"picture {title!r} is no WebP file: it begins with {image[:12]!r}")


@dataclass(frozen=True)
class Prose:
    """Paragraphs of text."""

    lines: Sequence[str]
    kind: ClassVar = "prose"


@dataclass(frozen=True)
class Drawing:
    """One plot drawn twice as SVG, for wide windows and for phones; `plots` makes it. Its text is not escaped again."""

    wide: str
    narrow: str


@dataclass(frozen=True)
class Plot:
    """A drawing with its title and a sentence that says what to see in it."""

    drawing: Drawing
    title: str
    description: str
    kind: ClassVar = "plot"


@dataclass(frozen=True)
class Column:
    """The head of a column. Numbers and shares (parts of one) are sorted as numbers and aligned right.

    `help` says what the column means; it stands below the table.
    """

    name: str
    help: str = ""
    kind: Literal["text", "number", "share"] = "text"

    @property
    def numeric(self) -> bool:
        """Whether the column holds numbers."""
        return self.kind != "text"


@dataclass(frozen=True)
class Cell:
    """A cell that is shown otherwise than its bare value would be.

    `sort`: what it is sorted by, a number in a numeric column; None in a numeric column comes last. `note`: a few words
    after the text.
    """

    text: str
    sort: str | float | None = None
    tone: Tone = "neutral"
    note: str = ""

    def __post_init__(self) -> None:
        check_tone(self.tone)


Value = str | int | float | None | Cell
"""What a row of a grid holds."""


@dataclass(frozen=True)
class Grid:
    """A table that can be sorted by each column, and filtered if it has more than eight rows.

    The first column names the row.

    `total`: of how many rows these are the first, None if they are all. `empty`: what is said if there are none.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    total: int | None = None
    note: str = ""
    empty: str = "There are none."
    kind: ClassVar = "grid"

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"grid {self.title!r}: {len(self.columns)} columns, and a row of {len(row)} cells")
        _check_total(self.title, len(self.rows), self.total)


@dataclass(frozen=True)
class Picture:
    """A picture with its title and named values, of which the first two are shown before it is opened.

    `image`: the bytes of a WebP file, None where there is no picture to show.
    """

    image: bytes | None
    title: str
    lines: Sequence[tuple[str, str]] = ()
    tone: Tone = "neutral"

    def __post_init__(self) -> None:
        check_tone(self.tone)
        check_image(self.image, self.title)


@dataclass(frozen=True)
class Gallery:
    """Small pictures side by side, each of which can be opened.

    `total`: of how many pictures these are the first, None if they are all. `empty`: what is said if there are none.
    """

    title: str
    pictures: Sequence[Picture]
    lead: str = ""
    total: int | None = None
    empty: str = "There are none."
    kind: ClassVar = "gallery"

    def __post_init__(self) -> None:
        _check_total(self.title, len(self.pictures), self.total)


@dataclass(frozen=True)
class Tabs:
    """Groups of blocks of which one is shown at a time; without JavaScript, and in print, all are."""

    title: str
    tabs: Sequence[tuple[str, Sequence["Block"]]]
    kind: ClassVar = "tabs"


Block = Prose | Plot | Grid | Gallery | Tabs


def _check_total(title: str, shown: int, total: int | None) -> None:
    if total is not None and total < shown:
        raise ValueError(f"{title!r} shows {shown} of {total}")
