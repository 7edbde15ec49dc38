"""Pages of which tests know every word."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from pipelines.reports.html.blocks import Block, Cell, Column, Drawing, Gallery, Grid, Picture, Plot, Prose, Tabs
from pipelines.reports.html.layers import Rule
from pipelines.reports.html.page import Fact, Page, Section, Verdict
from pipelines.reports.html.plots import bars, histogram, lines

HOSTILE = (
    "<script>window.hacked=1</script>",
    '"><img src=x onerror=window.hacked=1>',
    "' onfocus=window.hacked=1 autofocus='",
    "javascript:window.hacked=1",
    "{{7*7}}{% raw %}",
    "</style><style>*{display:none}</style>",
    "</title></svg></dialog><!--",
    "datum.x</text><script>window.hacked=1</script>",
    "\u202egpj.exe\u2066",
    "a\nb\x00\x1b[31m\ud800",
    "k" * 5000,
)
"""Keys, labels and messages that nobody should be able to do harm with."""


def webp(seed: int) -> bytes:
    """A small picture of one colour, each seed its own."""
    buffer = io.BytesIO()
    Image.new("RGB", (24, 16), (seed * 37 % 256, seed * 59 % 256, seed * 83 % 256)).save(buffer, "WEBP")
    return buffer.getvalue()


def page(blocks: Sequence[Block], title: str = "a scan") -> Page:
    """A page with one section."""
    return Page(title, "oodscan report", Verdict("good", "All images belong."), [], [Section("Part", "part", blocks)])


def written(folder: Path, html: str) -> Path:
    """The page as a file of the folder."""
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    return path


def fruit() -> Grid:
    """Nine rows, so that it can be filtered; not sorted by any column."""
    columns = [Column("fruit"), Column("images", "How many there are.", "number"), Column("flagged", kind="share")]
    names = ("pear", "Apple", "fig", "item 10", "item 9", "cherry", "date", "elder", "grape")
    images = (10, 9, 1200, 3, 4, 5, None, 7, 8)
    return Grid(
        "Fruit", columns, [[name, number, 1 / (number or 2)] for name, number in zip(names, images, strict=True)]
    )


def full_page() -> Page:
    """A page with something of everything."""
    drawings = [
        histogram(
            {"tonight": ([0, 1, 2], [3, 1]), "last night": ([0, 1, 2], [1, 1])}, [Rule(0.5, "threshold")], "score"
        ),
        bars(["fig", "pear"], [0.2, 0.1], "flagged", "share"),
        lines(["Monday", "Tuesday", "Today"], {"flagged": [0.1, None, 0.3]}, "flagged", [Rule(0.2, "alarm")], "share"),
    ]
    plots = [Plot(one, f"Plot {n}", "What is seen in it.") for n, one in enumerate(drawings)]
    pictures = [
        Picture(webp(n) if n else None, f"{n}.jpg", [("score", str(n)), ("label", "fig"), ("shard", f"s{n}")], "warn")
        for n in range(4)
    ]
    tones = Grid(
        "Tones", [Column("tone")], [[Cell(f"cell {tone}", None, tone, "note")] for tone in ("good", "warn", "bad")]
    )
    tabs = Tabs(
        "By method", [("first", [Prose(["One."]), tones]), ("second", [plots[1]]), ("third", [Prose(["Three."])])]
    )
    sections = [
        Section("Scores", "scores", [plots[0], Prose(["Two", "paragraphs."])], "How well images belong."),
        Section("Images", "images", [Gallery("Lowest", pictures, "Look.", 12), Gallery("Again", pictures[1:3])]),
        Section("Labels", "labels", [fruit(), Grid("None", [Column("x")], [])]),
        Section("Methods", "methods", [tabs, plots[2]]),
    ]
    facts = [Fact(f"fact {tone}", "12", "a note", tone) for tone in ("good", "warn", "bad", "neutral")]
    return Page("a scan", "oodscan report", Verdict("bad", "Look.", "In detail."), facts, sections, ["oodscan 0.1"])


def hostile_page() -> Page:
    """A page in which every text is one of `HOSTILE`."""
    sections = [_hostile_section(text, f"part-{number}") for number, text in enumerate(HOSTILE)]
    sections.append(Section("Plots", "plots", [Plot(plot, HOSTILE[0], HOSTILE[1]) for plot in _hostile_plots()]))
    facts = [Fact(text, text, text) for text in HOSTILE]
    whole = "".join(HOSTILE)
    return Page(whole, whole, Verdict("bad", whole, whole), facts, sections, HOSTILE)


def _hostile_section(text: str, name: str) -> Section:
    number = Column(text, text, "number")
    grid = Grid(text, [Column(text, text), number], [[text, Cell(text, text, "bad", text)]] * 9, note=text)
    blocks: list[Block] = [
        Prose([text]),
        grid,
        Grid(text, [number], [], empty=text),
        Gallery(text, [Picture(None, text, [(text, text)] * 3), Picture(webp(1), text)], text, 9),
        Tabs(text, [(text, [Prose([text]), Tabs(text, [(text, [grid])])])]),
    ]
    return Section(text, name, blocks, text)


def _hostile_plots() -> list[Drawing]:
    values, rules, title = [*range(len(HOSTILE))], [Rule(n, text) for n, text in enumerate(HOSTILE)], "".join(HOSTILE)
    return [
        bars(HOSTILE, values, title),
        histogram({text: ([0, 20], [1]) for text in HOSTILE[:3]}, rules, title, title),
        lines(HOSTILE, dict.fromkeys(HOSTILE[-4:-1], values), title, rules),
    ]
