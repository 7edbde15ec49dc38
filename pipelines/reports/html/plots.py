"""Plots of numbers, each drawn for a wide window and for a phone. Names and labels may be text by others."""

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any

from pipelines.reports.html.blocks import Drawing
from pipelines.reports.html.layers import (
    PHONE,
    ROW,
    WIDE,
    Frame,
    Kind,
    Rule,
    levels,
    named,
    number,
    number_axis,
    text,
    thresholds,
)
from pipelines.reports.html.vega import MUTED, SERIES, SURFACE, Layer, drawn
from pipelines.reports.html.wording import count, decimal, places, share
from pipelines.reports.tables import visible

Point = Mapping[str, Any]


def histogram(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    rules: Sequence[Rule] = (),
    x_title: str = "",
    y_title: str = "share of images",
) -> Drawing:
    """How values are spread: of each named series its bin edges and counts, drawn as shares of the series.

    Rules are thresholds among the values. Raises ValueError if there are more than three series, or one has not one
    edge more than counts, or an edge that is not finite.
    """
    _check_series(series)
    points = [point for name, (edges, counts) in series.items() for point in _steps(name, edges, counts)]
    xs = [point["x"] for point in points] + [rule.value for rule in rules]
    domain = (min(xs, default=0.0), max(xs, default=1.0))
    domain = domain if domain[0] < domain[1] else (domain[0] - 0.5, domain[1] + 0.5)

    def layers(frame: Frame) -> list[Layer]:
        axis = number_axis("number", frame.labels, x_title, frame.width)
        x = number("x") | {"scale": {"domain": domain, "nice": False}, "axis": axis}
        marks = _areas(points, x, frame.color(len(series), len(rules) + 1))
        return [marks, *thresholds(rules, domain, frame), text(y_title, (0, -8 - ROW * len(rules)), frame.width)]

    return _both(layers)


def bars(names: Sequence[str], values: Sequence[float], x_title: str = "", kind: Kind = "number") -> Drawing:
    """A bar for each name, from top to bottom in the order given, with its value beside it.

    Raises ValueError if there are not as many names as values.
    """
    digits = places(values)
    rows = [
        {"row": row, "name": visible(name), "value": float(value), "shown": _shown(value, kind, digits)}
        for row, (name, value) in enumerate(zip(names, values, strict=True))
    ]

    def layers(frame: Frame) -> list[Layer]:
        return [_bars(rows, frame.name_width), text(x_title, (0, -8), frame.width - frame.name_width)]

    return _both(layers, by_row=True)


def lines(
    x_labels: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    y_title: str = "",
    rules: Sequence[Rule] = (),
    kind: Kind = "number",
) -> Drawing:
    """How values change from night to night: a line for each series, broken where a night has none.

    Rules are levels of the values; shares begin at 0 %. Raises ValueError if there are more than three series, or one
    has not a value, or None, for each label.
    """
    _check_series(series)
    points = [point for name, values in series.items() for point in _runs(name, values, x_labels)]
    last = len(x_labels) - 1
    domain = [0, last] if last > 0 else [-1, 1]

    def layers(frame: Frame) -> list[Layer]:
        x = number("x") | {"scale": {"domain": domain, "nice": False}, "axis": None}
        y = number("y") | {"scale": {"zero": kind == "share"}, "axis": number_axis(kind, 4)}
        marks = _lines(points, x, y, frame.color(len(series), 1))
        return [marks, *levels(rules, frame), *_nights(x_labels, domain, frame), text(y_title, (0, -10), frame.width)]

    return _both(layers)


def _areas(points: Sequence[Point], x: Layer, color: Layer) -> Layer:
    """Steps over the x axis, filled so lightly that several can lie over each other."""
    mark = {"type": "area", "interpolate": "step-after", "fillOpacity": 0.14, "line": {"strokeWidth": 1.75}}
    y = number("y") | {"stack": None, "axis": number_axis("share", 4)}
    return {"data": {"values": points}, "mark": mark, "encoding": {"x": x, "y": y, "color": color}}


def _bars(rows: Sequence[Point], name_width: int) -> Layer:
    """A row for each bar: its name left of the axis, and its value right of its end."""
    label: dict[str, Any] = {"type": "text", "baseline": "middle"}
    name = label | {"align": "right", "dx": -8, "limit": name_width}
    value = label | {"align": "left", "dx": 6, "fill": MUTED}
    x = number("value") | {"axis": None, "scale": {"nice": False}}
    y = {"field": "row", "type": "ordinal", "axis": None, "scale": {"paddingInner": 0.3}}
    return {
        "data": {"values": rows},
        "encoding": {"y": y},
        "layer": [
            {"mark": {"type": "bar", "color": SERIES[0], "cornerRadiusEnd": 2}, "encoding": {"x": x}},
            {"mark": name, "encoding": {"x": {"value": 0}, "text": named("name")}},
            {"mark": value, "encoding": {"x": x, "text": named("shown")}},
        ],
    }


def _lines(points: Sequence[Point], x: Layer, y: Layer, color: Layer) -> Layer:
    """A line for each run of points of a series, with a dot for each."""
    dot = {"size": 28, "stroke": SURFACE, "strokeWidth": 1}
    encoding = {"x": x, "y": y, "color": color, "detail": named("run")}
    return {"data": {"values": points}, "mark": {"type": "line", "strokeWidth": 2, "point": dot}, "encoding": encoding}


def _both(layers: Callable[[Frame], Sequence[Layer]], by_row: bool = False) -> Drawing:
    """The plot for either window. By row: with room for names at the left, and as high as its rows."""

    def one(frame: Frame) -> str:
        if by_row:
            return drawn(frame.width - frame.name_width - 8, {"step": 24}, layers(frame))
        return drawn(frame.width, frame.height, layers(frame))

    return Drawing(one(WIDE), one(PHONE))


def _check_series(series: Mapping[str, Any]) -> None:
    if len(series) > len(SERIES):
        raise ValueError(f"{len(series)} series, and {len(SERIES)} can be told apart")


def _steps(name: str, edges: Sequence[float], counts: Sequence[float]) -> list[Point]:
    """The steps of a histogram, from left to right; each goes on until the next."""
    if len(edges) != len(counts) + 1 or not all(map(math.isfinite, edges)):
        raise ValueError(f"series {name!r} has {len(edges)} edges and {len(counts)} counts, or an infinite edge")
    shares = [float(number) / (float(sum(counts)) or 1.0) for number in counts]
    return [
        {"x": float(edge), "y": part, "series": visible(name)}
        for edge, part in zip(edges, [*shares, *shares[-1:]], strict=bool(shares))
    ]


def _runs(name: str, values: Sequence[float | None], x_labels: Sequence[str]) -> list[Point]:
    """The points of a line that have values, with the number of the run of such points that each is in."""
    if len(values) != len(x_labels):
        raise ValueError(f"series {name!r} has {len(values)} values and there are {len(x_labels)} labels")
    points, run = list[Point](), 0
    for x, value in enumerate(values):
        if value is None or not math.isfinite(value):
            run += 1
        else:
            points.append({"x": x, "y": float(value), "series": visible(name), "run": f"run {run}"})
    return points


def _nights(x_labels: Sequence[str], domain: Sequence[int], frame: Frame) -> list[Layer]:
    """As many of the labels as there is room for, evenly chosen, below the plot."""
    last = len(x_labels) - 1
    chosen = {round(last * part / (frame.labels - 1)) for part in range(frame.labels)} if last >= 0 else set()
    scale, limit = frame.width / (domain[1] - domain[0]), frame.width // frame.labels
    aligned = {0: "left", last: "right"} if last else {}
    return [
        text(x_labels[x], ((x - domain[0]) * scale, frame.height + 20), limit, aligned.get(x, "center"))
        for x in sorted(chosen)
    ]


def _shown(value: float, kind: Kind, digits: int) -> str:
    if kind == "share":
        return share(value)
    return count(int(value)) if isinstance(value, Integral) else decimal(value, digits)
