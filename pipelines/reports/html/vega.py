"""From a Vega-Lite specification to a small SVG whose colours follow the page."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import vl_convert

from pipelines.reports.html.wording import NARROW

Layer = Mapping[str, Any]
"""Marks with their data, in words of Vega-Lite."""

INK, MUTED, SURFACE = "var(--ink)", "var(--muted)", "var(--page)"
SERIES = ("var(--series-1)", "var(--series-2)", "var(--series-3)")
"""Colours are variables of the page's style sheet, which Vega hands on as they are."""

TEXT_SIZE = 13
"""In which size Vega measures text, in pixels; pages show it in 12, as some systems have wider fonts than Vega."""

_AXIS = {
    "domainColor": "var(--strong)", "gridColor": "var(--line)", "labelColor": MUTED, "labelFontSize": TEXT_SIZE,
    "labelPadding": 6, "ticks": False, "title": None, "titleColor": MUTED, "titleFontSize": TEXT_SIZE,
    "titleFontWeight": "normal", "titlePadding": 8,
}  # fmt: skip
_CONFIG: Mapping[str, Any] = {
    "background": None,
    "font": "Liberation Sans",
    "view": {"stroke": None},
    "axisX": {**_AXIS, "grid": False},
    "axisY": {**_AXIS, "domain": False},
    "legend": {"title": None, "labelColor": INK, "labelFontSize": TEXT_SIZE, "symbolStrokeWidth": 2.5},
    "text": {"fontSize": TEXT_SIZE, "fill": INK},
}
"""How every plot looks. The font is what Vega measures text in; the page shows it in its own."""

_LOCALE = {"decimal": ".", "thousands": NARROW, "grouping": [3], "currency": ["", ""], "percent": f"{NARROW}%"}

_KEPT = {
    "svg": ("width", "height", "viewBox"),
    "g": ("transform", "fill"),
    "path": ("d", "transform", "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray"),
    "line": ("x2", "y2", "transform", "stroke", "stroke-width", "stroke-dasharray"),
    "text": ("transform", "text-anchor", "fill"),
}
"""The elements of Vega's SVG that are kept, and their attributes; the others serve Vega's own scripts."""


def drawn(width: int, height: int | Mapping[str, int], layers: Sequence[Layer]) -> str:
    """Layers of marks as SVG. Text by others is given as data or as a title; Vega may evaluate whatever else it is."""
    spec = {"width": width, "height": height, "padding": 2, "config": _CONFIG, "layer": list(layers)}
    return small(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[], format_locale=_LOCALE))


def small(svg: str) -> str:
    """Vega's SVG without what a page has no use for: shapes and text remain, with numbers of one decimal."""
    root = ElementTree.Element("none")
    root.extend(_kept(ElementTree.fromstring(svg)))  # noqa: S314  Vega's own, in which text is escaped
    return "".join(ElementTree.tostring(element, encoding="unicode") for element in root)


def _kept(element: ElementTree.Element) -> list[ElementTree.Element]:
    """What is seen of the element: itself, what is in it if it is a group that says nothing, or nothing."""
    name = element.tag.partition("}")[2]
    if name not in _KEPT:
        return []
    within = [kept for child in element for kept in _kept(child)]
    attributes = {key: _rounded(element.attrib[key]) for key in _KEPT[name] if key in element.attrib}
    if attributes.get("transform") in ("translate(0,0)", "translate(0.5,0.5)"):
        del attributes["transform"]
    if name == "g" and (not attributes or not within):
        return within
    if name == "path" and not attributes.keys() & {"fill", "stroke"}:
        return []
    made = ElementTree.Element(name, attributes)
    made.text = element.text if name == "text" else None
    made.extend(within)
    return [made]


def _rounded(attribute: str) -> str:
    """The attribute with numbers of at most one decimal."""
    return re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), attribute)
