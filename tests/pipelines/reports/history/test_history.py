"""Many nights side by side, by `oodscan history` as it is called and as plain functions."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines.commands.app import app
from pipelines.errors import CallerError
from pipelines.reports.history.history import history
from pipelines.reports.history.page import history_page
from pipelines.reports.html.blocks import Grid, Plot
from pipelines.reports.html.page import Page
from pipelines.reports.html.render import render
from tests.pipelines.reports.ended_scans import RUN, Made, rows

SCORES = {"mcm": np.linspace(0, 1, 101).tolist(), "max-cos": [0.2] * 101}
BOTH = ("mcm", "max-cos")
BAD = rows({"mcm": [0.1, None], "max-cos": [0.1, None]})


def printed(*arguments: str | Path) -> str:
    ended = CliRunner().invoke(app, ["history", *map(str, arguments)], catch_exceptions=False)
    assert ended.exit_code == 0
    return ended.stdout


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three nights; the last has failed its error budget and has no threshold by `max-cos`."""
    place = tmp_path_factory.mktemp("nights")
    Made({"one": rows(SCORES)}, BOTH, {"mcm": 0.25, "max-cos": 0.1}, run=RUN).at(place / "monday")
    Made({"one": rows(SCORES)}, BOTH, {"mcm": 0.5, "max-cos": 0.3}).at(place / "tuesday")
    Made({"one": BAD}, BOTH, {"mcm": 0.5}).at(place / "wednesday")
    return place


def every(nights: Path) -> list[Path]:
    return [nights / name for name in ("monday", "tuesday", "wednesday")]


def test_nights_stand_one_below_the_other_by_the_method_that_decides_in_the_last(nights: Path) -> None:
    lines = printed(*every(nights)).splitlines()
    assert lines[0] == "history"
    assert lines[2] == "scores by mcm and what it flags"
    assert lines[3].split() == [
        "night", "images", "5%", "50%", "95%", "threshold", "flagged", "errors", "images/s", "ended", "differs", "in"
    ]  # fmt: skip
    assert [line.split() for line in lines[4:]] == [
        ["monday", "101", *_quantiles(nights), "0.250000", "24.75%", "0.00%", "1,234", "well"],
        ["tuesday", "101", *_quantiles(nights), "0.500000", "49.50%", "0.00%", "well"],
        ["wednesday", "1", *["0.100009"] * 3, "0.500000", "100.00%", "50.00%", "not", "well"],
    ]


def _quantiles(nights: Path) -> list[str]:
    """Those of the summary, which are within a ten-thousandth of the scores'."""
    found = json.loads((nights / "monday/summary.json").read_text())["quantiles"]["score_mcm"]
    np.testing.assert_allclose([found["0.05"], found["0.5"], found["0.95"]], [0.05, 0.5, 0.95], rtol=1e-3)
    return [f"{found[part]:#.6g}" for part in ("0.05", "0.5", "0.95")]


def test_nights_as_json_have_their_numbers_and_where_they_lie(nights: Path) -> None:
    found = json.loads(printed(*every(nights), "--json", "--by", "max-cos"))
    assert found["method"] == "max-cos"
    first, second, third = found["nights"]
    assert (first["name"], first["scan"]) == ("monday", f"{nights}/monday")
    assert set(first["quantiles"]) == {"0.05", "0.5", "0.95"}
    assert [night["flagged"] for night in found["nights"]] == [0.0, 1.0, None]
    assert [night["success"] for night in found["nights"]] == [True, True, False]
    assert [night["errors"] for night in found["nights"]] == [0.0, 0.0, 0.5]
    assert (second["images_per_s"], third["threshold"]) == (None, None)


def test_a_night_by_other_scores_than_the_one_before_is_marked(nights: Path, tmp_path: Path) -> None:
    others = [
        Made({"one": rows(SCORES)}, BOTH, {"mcm": 0.5}, weights="others"),
        Made({"one": rows(SCORES)}, BOTH, {"mcm": 0.5}, weights="others", settings={"param": {"mcm.temperature": 0.5}}),
        Made({"one": rows(SCORES)}, BOTH, {"mcm": 0.5}, bank=tmp_path / "other/bank"),
    ]
    places = [made.at(tmp_path / f"night{number}").url for number, made in enumerate(others)]
    found = json.loads(printed(nights / "tuesday", *places, "--json"))
    assert [night["differs"] for night in found["nights"]] == ["", "model", "parameters", "model, parameters"]
    page = history_page(history([made.read(tmp_path / f"again{n}") for n, made in enumerate(others)]))
    assert page.verdict.tone == "warn"
    assert page.verdict.detail.endswith("than the night before: again1, again2.")


def _blocks(page: Page) -> tuple[list[Plot], Grid]:
    blocks = page.sections[0].blocks
    return [block for block in blocks if isinstance(block, Plot)], next(one for one in blocks if isinstance(one, Grid))


def test_the_page_draws_the_nights_and_tells_how_the_last_has_ended(nights: Path, tmp_path: Path) -> None:
    html = printed(*every(nights), "--format", "html")
    sentence = "wednesday: 100.0\u202f% of 1 image is flagged by mcm, after 24.8\u202f% to 49.5\u202f% before"
    assert f"{sentence}; the last night has not ended well." in html
    assert '<div class="verdict bad">' in html
    assert re.search(r"<text[^>]*>wednesday</text>", html)
    assert printed(*every(nights), "--output", tmp_path / "nights.html") == ""
    assert (tmp_path / "nights.html").read_text(encoding="utf-8") == html


def test_one_night_is_a_history_too(tmp_path: Path) -> None:
    page = history_page(history([Made({"one": rows([0.1, 0.9])}).read(tmp_path / "monday")]))
    assert (page.title, page.verdict.tone) == ("monday", "good")
    assert page.verdict.sentence == "monday: 50.0\u202f% of 2 images are flagged by mcm."
    assert [fact.name for fact in page.facts] == ["nights", "images", "errors"]
    assert len(render(page)) > 1000


def test_nights_without_thresholds_or_scores_have_gaps(tmp_path: Path) -> None:
    equal, nothing = Made({"one": rows([0.5])}, thresholds={}), Made({"one": rows([None])})
    page = history_page(
        history([one.read(tmp_path / f"night{number}") for number, one in enumerate([equal, nothing, equal])])
    )
    assert page.verdict.sentence == "night2: mcm has no threshold."
    plots, grid = _blocks(page)
    assert len(plots) == 2
    assert [row[6] for row in grid.rows] == [None, None, None]
    assert [row[2] for row in grid.rows] == [pytest.approx(0.5, rel=1e-3), None, pytest.approx(0.5, rel=1e-3)]
    render(page)


def test_nights_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    scans = [Made({"one": rows([0.1, 0.9])}).read(tmp_path / day / "scan") for day in ("monday", "tuesday")]
    assert [night.name for night in history(scans).nights] == ["monday/scan", "tuesday/scan"]
    page = history_page(history(scans))
    assert page.title == "monday/scan to tuesday/scan"
    assert page.verdict.sentence.endswith("flagged by mcm, after 50.0\u202f% before.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["monday", "--by", "csp"], "SCAN 'monday' has no scores by 'csp'; give --by one of mcm, max-cos"),
        (["monday", "gone"], "SCAN 'gone' is not a scan directory: it has no scan.json or no plan.parquet"),
        (["monday", "--format", "pdf"], "--format 'pdf' is unknown; the formats are text, markdown, json, html"),
        (["monday", "--output", "folder/"], "--output 'folder/' is no file's name"),
    ],
)
def test_mistakes_are_named_with_their_option_and_value(
    nights: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(nights)
    with pytest.raises(CallerError) as refused:
        printed(*arguments)
    assert str(refused.value).replace(f"{nights}/", "") == said


def test_a_night_that_the_method_has_not_scored_is_named(nights: Path, tmp_path: Path) -> None:
    other = Made({"one": rows({"neglabel": [0.5]})}, ("neglabel",), {}).at(tmp_path / "other").url
    with pytest.raises(
        CallerError, match=f"^SCAN '{nights}/monday' has no scores by 'neglabel'; give --by one of mcm, "
    ):
        printed(nights / "monday", other)
