"""The layers of which plots are made: text at a place, rules, the look of axes and legends."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.reports.html.vega import INK, MUTED, SERIES, TEXT_SIZE, Layer
from pipelines.reports.tables import visible

Kind = Literal["number", "share"]
ROW = 17
"""The height of a row of text above a plot."""


@dataclass(frozen=True)
class Rule:
    """A line across a plot, such as a threshold, with its label."""

    value: float
    label: str

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"rule {self.label!r} is at {self.value}")


@dataclass(frozen=True)
class Frame:
    """The size of a plot's area, how many labels its x axis has room for, and how wide a name may be."""

    width: int
    height: int
    labels: int
    name_width: int
    phone: bool

    def color(self, series: int, rows_above: int) -> dict[str, Any]:
        """The colours of so many series, and their legend above so many rows of text; a single one has none."""
        legend = {
            "orient": "top", "direction": "horizontal", "symbolType": "stroke", "labelLimit": self.name_width,
            "columns": 1 if self.phone else len(SERIES), "columnPadding": 24, "offset": ROW * rows_above + 12,
        }  # fmt: skip
        scale = {"range": list(SERIES)}
        return named("series") | {"sort": None, "scale": scale, "legend": legend if series > 1 else None}


WIDE = Frame(width=728, height=230, labels=8, name_width=210, phone=False)
PHONE = Frame(width=264, height=190, labels=3, name_width=104, phone=True)


def number(field: str) -> dict[str, Any]:
    """The encoding of a field of numbers."""
    return {"field": field, "type": "quantitative"}


def named(field: str) -> dict[str, Any]:
    """The encoding of a field of names, in the order in which they come."""
    return {"field": field, "type": "nominal"}


def number_axis(kind: Kind, ticks: int, title: str = "", limit: int = 0) -> dict[str, Any]:
    """An axis of numbers, or of parts of one in percent, and its title, cut at `limit` pixels."""
    form = {"format": ".1~%"} if kind == "share" else {}
    return {"tickCount": ticks, "title": visible(title) or None, "titleLimit": limit, **form}


def text(words: str, at: tuple[float, float], limit: int, align: str = "left", color: str = MUTED) -> Layer:
    """Words at a place in pixels from the top left of the plot's area, cut at `limit` pixels."""
    mark = {"type": "text", "align": align, "baseline": "alphabetic", "fill": color, "fontSize": TEXT_SIZE}
    return {
        "data": {"values": [{"words": visible(words)}]},
        "mark": mark | {"limit": limit},
        "encoding": {"x": {"value": at[0]}, "y": {"value": at[1]}, "text": named("words")},
    }


def thresholds(rules: Sequence[Rule], domain: tuple[float, float], frame: Frame) -> list[Layer]:
    """Upright rules through the plot, the label of each in a row of its own above."""
    layers: list[Layer] = []
    for row, rule in enumerate(rules):
        part = (rule.value - domain[0]) / (domain[1] - domain[0])
        top = -6 - ROW * row
        layers.append({
            "data": {"values": [{"x": rule.value}]},
            "mark": _rule_mark(),
            "encoding": {"x": number("x"), "y": {"value": top + 3}, "y2": {"value": frame.height}},
        })  # fmt: skip
        align = "left" if part < 0.25 else "right" if part > 0.75 else "center"
        layers.append(text(rule.label, (part * frame.width, top), frame.width // 2, align, INK))
    return layers


def levels(rules: Sequence[Rule], frame: Frame) -> list[Layer]:
    """Level rules across the plot, the label of each above its right end."""
    label = {"type": "text", "align": "right", "baseline": "bottom", "dy": -3, "limit": frame.width // 2}
    return [
        {
            "data": {"values": [{"y": rule.value, "words": visible(rule.label)}]},
            "encoding": {"y": number("y")},
            "layer": [
                {"mark": _rule_mark(), "encoding": {"x": {"value": 0}, "x2": {"value": frame.width}}},
                {"mark": label, "encoding": {"x": {"value": frame.width}, "text": named("words")}},
            ],
        }
        for rule in rules
    ]


def _rule_mark() -> Mapping[str, Any]:
    return {"type": "rule", "color": INK, "strokeDash": [4, 3]}
