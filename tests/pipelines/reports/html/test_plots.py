import re
from xml.etree import ElementTree

import pytest

from pipelines.reports.html.blocks import Drawing
from pipelines.reports.html.layers import Rule
from pipelines.reports.html.plots import bars, histogram, lines
from tests.pipelines.reports.html.made_page import HOSTILE


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]  # noqa: S314  our own


def paths(svg: str, color: str) -> list[str]:
    elements = ElementTree.fromstring(svg).iter("path")  # noqa: S314
    return [element.attrib["d"] for element in elements if element.get("stroke") == f"var(--{color})"]


def drawing() -> Drawing:
    return histogram(
        {"tonight": ([0, 1, 2], [3, 1]), "reference": ([0, 1, 2], [1, 1])}, [Rule(0.5, "threshold")], "score"
    )


def test_a_histogram_shows_shares_of_each_series_and_its_thresholds() -> None:
    svg = drawing().wide
    assert {"tonight", "reference", "threshold", "score", "share of images", "0.2", "60\u202f%"} <= {*texts(svg)}
    assert len(paths(svg, "series-1")) >= 1
    assert len(paths(svg, "series-2")) >= 1


def test_the_steps_of_a_histogram_are_as_high_as_the_shares() -> None:
    steps = paths(histogram({"x": ([0, 1, 2], [3, 1])}).wide, "series-1")[0]
    heights = [float(y) for y in re.findall(r",([\d.]+)", steps)]
    assert max(heights) - 230 == pytest.approx((min(heights) - 230) / 3, abs=0.2)  # the lower step, from the bottom


def test_a_plot_is_of_shapes_and_text_and_takes_its_colours_from_the_page() -> None:
    for svg in (drawing().wide, drawing().narrow):
        names = {element.tag for element in ElementTree.fromstring(svg).iter()}  # noqa: S314
        assert names <= {"svg", "g", "path", "line", "text"}
        assert re.findall(r"(?:#[0-9a-f]{3}|rgb|style=|href|url)", svg) == []
        assert re.findall(r"\d\.\d\d", svg) == []


def test_a_plot_for_phones_is_narrow_enough_and_a_plot_is_small() -> None:
    plots = [drawing(), bars(["a long name " * 9] * 3, [1, 2, 12345]), lines(["a long night"] * 40, {"x": [1.0] * 40})]
    for one in plots:
        width = re.match(r'<svg width="(\d+)"', one.narrow)
        assert width is not None
        assert int(width[1]) <= 328
        assert len(one.wide) < 12_000


def test_bars_stand_in_the_order_given_with_their_values() -> None:
    svg = bars(["pear", "apple", "apple"], [0.1, 0.4, 0.2], "flagged", "share").wide
    assert [text for text in texts(svg) if text in ("pear", "apple")] == ["pear", "apple", "apple"]
    assert [text for text in texts(svg) if "%" in text] == ["10.0\u202f%", "40.0\u202f%", "20.0\u202f%"]


def test_a_line_is_broken_where_a_night_has_no_value() -> None:
    svg = lines(["a", "b", "c", "d", "e"], {"x": [1.0, 2.0, None, 3.0, 4.0]}, "score").wide
    assert [path.count("L") for path in paths(svg, "series-1") if "L" in path] == [1, 1]


def test_as_many_nights_are_named_as_there_is_room_for_among_them_the_first_and_the_last() -> None:
    nights = [f"night {number}" for number in range(30)]
    named = [text for text in texts(lines(nights, {"x": [1.0] * 30}).narrow) if text in nights]
    assert named == ["night 0", "night 14", "night 29"]


def test_plots_of_nothing_or_of_one_thing_are_drawn() -> None:
    for one in (
        histogram({}), histogram({"x": ([0], [])}), histogram({"x": ([1, 1], [0])}), bars([], []), bars(["x"], [0.0]),
        lines([], {}), lines(["x"], {"y": [None]}), lines(["x"], {"y": [1.0]}),
    ):  # fmt: skip
        assert one.wide.startswith("<svg")


@pytest.mark.parametrize("text", HOSTILE[:-1])
def test_names_are_text_and_never_evaluated(text: str) -> None:
    shown = text.encode("unicode_escape", "surrogatepass").decode() if not text.isprintable() else text
    svg = bars([text], [1.0]).wide
    assert next(iter(texts(svg))).removesuffix("…") in shown
    assert "<script" not in svg


@pytest.mark.parametrize("text", ["datum.row", "${datum.row}", "1+1", "{{1+1}}", "signal", "null", "true", "3"])
def test_what_looks_like_an_expression_stays_what_it_is(text: str) -> None:
    bar, line = bars([text], [7], text), lines([text], {text: [1.0], "x": [2.0]}, text, [Rule(1.5, text)])
    histogrammed = histogram({text: ([0, 1], [1]), "x": ([0, 1], [1])}, [Rule(0.5, text)], text, text)
    assert [texts(one.wide).count(text) for one in (bar, line, histogrammed)] == [2, 4, 4] or text == "3"


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match="2 edges and 2 counts"):
        histogram({"x": ([0, 1], [1, 1])})
    with pytest.raises(ValueError, match="4 series"):
        lines([], {name: [] for name in "abcd"})
    with pytest.raises(ValueError, match="1 values and there are 2 labels"):
        lines(["a", "b"], {"x": [1.0]})
    with pytest.raises(ValueError, match="argument 2 is longer"):
        bars(["a"], [1, 2])
    with pytest.raises(ValueError, match="is at nan"):
        Rule(float("nan"), "threshold")
