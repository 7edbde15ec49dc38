"""What the page on a scan shows: kinds, distributions, images, and whatever a scan lacks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ood_core.methods import METHODS
from pipelines.flags.thresholds import MethodThreshold
from pipelines.reports.ended import EndedScan
from pipelines.reports.html.blocks import Block, Gallery, Grid, Plot, Prose, Tabs
from pipelines.reports.html.page import Page
from pipelines.reports.html.render import render
from pipelines.reports.scan.page import UNSCORED, scan_page
from pipelines.reports.scan.pictures import images, least_certain
from pipelines.reports.scan.plots import BINS, binned
from tests.pipelines.reports.ended_scans import RUN, Made, all_rows, rows
from tests.pipelines.reports.html.made_page import HOSTILE

KINDS = {
    "one": rows(
        [0.1, 0.2, 0.3, 0.9, 0.4, 0.8, 0.7],
        negative_label=["hammer"] * 4 + ["flag"] * 3,
        id_label=["cat", "dog", "dog", "cat", "cat", "cat", "cat"],
    )
}
"""Three of four images like a hammer are flagged below 0.5, and one of three like a flag."""


def section(page: Page, name: str) -> Sequence[Block]:
    return next(one.blocks for one in page.sections if one.id == name)


def lead(page: Page, name: str) -> str:
    return next(one.lead for one in page.sections if one.id == name)


def every(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Tabs):
            for _, within in block.tabs:
                yield from every(within)


def titled(page: Page, title: str) -> Any:
    return next(
        block
        for one in page.sections
        for block in every(one.blocks)
        if not isinstance(block, Prose) and block.title == title
    )


def test_the_kinds_that_belong_least_come_first_with_a_picture_each(tmp_path: Path) -> None:
    page = scan_page(Made(KINDS).read(tmp_path / "scan"))
    (shown,) = titled(page, "The largest kinds").pictures
    assert shown.title == "hammer"
    assert shown.image is not None
    assert dict(shown.lines) == {
        "flagged": "3 of 4", "image": "a/0", "score": "0.100", "nearest": "cat", "probability": "50.0\u202f%",
        "nearest negative": "hammer", "flagged by": "mcm", "shard": f"{_shard(tmp_path)}, record 0",
    }  # fmt: skip
    more = titled(page, "hammer")
    assert [picture.title for picture in more.pictures] == ["a/0", "a/1", "a/2"]
    assert more.lead == "3 of 4 images with this nearest negative label are flagged."
    assert lead(page, "kinds").startswith("Images with the same nearest negative label are a kind; these are at least")


def _shard(tmp_path: Path) -> str:
    return next((tmp_path / "scan/scores").iterdir()).stem.removeprefix("part-")


def test_of_many_kinds_five_are_shown_and_how_many_there_are_is_said(tmp_path: Path) -> None:
    negatives = [f"kind {number:02d}" for number in range(20)]
    page = scan_page(Made({"one": rows([0.1] * 20, negative_label=negatives)}).read(tmp_path / "scan"))
    first = titled(page, "The largest kinds")
    assert ([picture.title for picture in first.pictures], first.total) == (negatives[:5], 20)
    assert len(titled(page, "More of each kind").tabs) == 12


def test_anchors_of_consensus_are_kinds_called_by_what_their_pictures_look_like(tmp_path: Path) -> None:
    table = rows(
        {"neglabel": [0.1] * 4, "consensus": [-1.0, -0.9, -0.8, 0.9]},
        anchor=[1, 1, 1, 0],
        negative_label=["hammer", "flag", "hammer", "flag"],
        id_label=["dog", "cat", "cat", "cat"],
    )
    made = Made({"one": table}, ("neglabel", "consensus"), {"consensus": 0.0}, anchors=np.eye(2, dtype=np.float32))
    page = scan_page(made.read(tmp_path / "scan"))
    assert [shown.title for shown in titled(page, "The largest kinds").pictures] == ["hammer, rather than cat"]
    assert lead(page, "kinds").startswith("Images with the same nearest anchor of consensus are a kind; these")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (rows([0.9], negative_label=["flag"]), "same nearest negative label are a kind; of none is half flagged"),
        (rows([0.1], negative_label=None), "by negative labels or anchors of consensus, and this scan has neither"),
        (rows([None]), "No image has a score."),
    ],
    ids=["nothing flagged", "no negative labels", "no scores"],
)
def test_a_scan_without_kinds_says_why(tmp_path: Path, table: Any, said: str) -> None:
    page = scan_page(Made({"one": table}).read(tmp_path / "scan"))
    assert said in lead(page, "kinds")
    assert section(page, "kinds") == []


def test_images_are_shown_from_both_ends_and_around_the_threshold(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).random(200).tolist()
    scan = Made({"one": rows(scores[:120]), "two": rows(scores[120:])}).read(tmp_path / "scan")
    page, ordered = scan_page(scan), sorted(scores)
    for title, expected in (("Lowest scores", ordered[:24]), ("Highest scores", ordered[::-1][:24])):
        found = titled(page, title)
        assert [dict(one.lines)["score"] for one in found.pictures] == [f"{score:.3f}" for score in expected]
        assert found.total == 200
    certain = [abs(row["score_mcm"] - 0.5) for row in least_certain(scan, "mcm", 24)]
    assert len(certain) == 24
    assert certain == sorted(certain)
    assert certain[-1] < 0.3


def test_without_a_threshold_no_image_is_near_it(tmp_path: Path) -> None:
    page = scan_page(Made({"one": rows([0.5] * 3)}, thresholds={}).read(tmp_path / "scan"))
    assert titled(page, "Nearest to the threshold").pictures == []
    assert "Left of" not in titled(page, "Scores by mcm").description


def test_a_rescoring_shows_tables_instead_of_pictures(tmp_path: Path) -> None:
    page = scan_page(Made(KINDS, rescored=True).read(tmp_path / "scan"))
    blocks = [block for one in page.sections for block in every(one.blocks)]
    assert not [block for block in blocks if isinstance(block, Gallery)]
    kinds = titled(page, "The largest kinds")
    assert kinds.rows == [("hammer", 4, 3, 0.75, pytest.approx(0.375))]
    lowest = titled(page, "Lowest scores")
    assert (lowest.rows[0][0].text, lowest.rows[0][0].tone) == ("a/0", "bad")
    assert lowest.rows[0][1:6] == (0.1, "cat", 0.5, "hammer", "mcm")
    assert lowest.rows[-1][0] == "a/3"
    assert page.footer[0].startswith("The images that are named are a sample: 7 of 7, ")


def test_how_many_images_are_sampled_is_said(tmp_path: Path) -> None:
    scan = Made({"one": rows(np.linspace(0, 1, 1000).tolist())}).read(tmp_path / "scan")
    shown = {(row["shard"], row["index"]) for found in scan.gallery.values() for row in found}
    assert scan_page(scan).footer[0].startswith(f"Pictures are a sample: {len(shown)} of 1\u202f000, ")
    assert len(shown) < 200


def test_scores_are_drawn_beside_last_nights_and_those_of_images_that_belong(tmp_path: Path) -> None:
    Made({"one": rows([0.4, 0.6])}).at(tmp_path / "before")
    Made({"one": rows([0.7, 0.8])}).at(tmp_path / "good")
    settings = {"since": str(tmp_path / "before"), "calibrate": str(tmp_path / "good")}
    scan = Made({"one": rows([0.1, 0.9])}, settings=settings).read(tmp_path / "scan")
    drawing = titled(scan_page(scan, EndedScan.read(scan.record.directory)), "Scores by mcm").drawing
    for name in ("this scan", "last night", "what belongs", "threshold 0.5"):
        assert name in drawing.wide
        assert name in drawing.narrow
    without = titled(scan_page(scan), "Scores by mcm").drawing
    assert "last night" not in without.wide


def test_histograms_have_one_range_and_count_every_score(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).random((2, 500)).tolist()
    scans = [Made({"one": rows(found)}).read(tmp_path / f"scan {n}") for n, found in enumerate(scores)]
    found = binned({str(n): scan.scores("mcm") for n, scan in enumerate(scans)})
    assert found["0"][0] == found["1"][0]
    assert len(found["0"][0]) == BINS + 1
    for n, values in enumerate(scores):
        expected, _ = np.histogram(values, found["0"][0])
        assert sum(found[str(n)][1]) == 500
        assert np.abs(np.array(found[str(n)][1]) - expected).sum() <= 4  # scores within a ten-thousandth of an edge


def test_a_single_score_is_in_the_middle_of_its_histogram(tmp_path: Path) -> None:
    edges, counts = binned({"one": Made({"one": rows([0.5] * 3)}).read(tmp_path / "scan").scores("mcm")})["one"]
    assert (sum(counts), edges[0], edges[-1]) == (3, pytest.approx(0, abs=1e-3), pytest.approx(1, abs=1e-3))


def test_every_method_has_its_scores_and_images_and_the_deciding_one_comes_first(tmp_path: Path) -> None:
    names = [name for name in METHODS if name not in ("consensus", "reference", "verdicts", "gl-mcm")]
    random = np.random.default_rng(0)
    table = rows({name: random.random(50).tolist() for name in names})
    thresholds = {name: MethodThreshold(0.5, "estimated") for name in names}
    page = scan_page(Made({"one": table}, names, thresholds).read(tmp_path / "scan"))
    assert [block.title for block in section(page, "scores") if isinstance(block, Plot)] == [
        f"Scores by {name}" for name in names
    ]
    assert [name for name, _ in titled(page, "Images by method").tabs] == names
    assert len(names) >= 8
    assert len(render(page)) < 5 * 2**20


def test_the_deciding_method_comes_first_whichever_order_they_were_asked_for_in(tmp_path: Path) -> None:
    table = rows({"max-cos": [0.2, 0.8], "neglabel": [0.9, 0.1], "consensus": [0.1, -0.1]}, anchor=[0, 0])
    names, anchors = ("max-cos", "neglabel", "consensus"), np.ones((1, 1), np.float32)
    page = scan_page(Made({"one": table}, names, {"consensus": 0.0}, anchors=anchors).read(tmp_path / "scan"))
    first = ["consensus", "max-cos", "neglabel"]
    assert [name for name, _ in titled(page, "Images by method").tabs] == first
    plots = [block.title for block in section(page, "scores") if isinstance(block, Plot)]
    assert plots == [f"Scores by {name}" for name in first]
    assert page.verdict.sentence == "50.0\u202f% of 2 images are flagged by consensus."
    told = dict(titled(page, "Lowest scores").pictures[0].lines)
    assert (told["score"], told["by neglabel"], told["by consensus"]) == ("−0.100", "0.100", "−0.100")


SCENES: dict[str, Made] = {
    "empty": Made({"one": rows([])}),
    "errors only": Made({"one": rows([None] * 3), "two": rows([None], status=["damaged-archive"])}),
    "all flagged": Made({"one": rows([0.1] * 5, negative_label=["flag"] * 5)}),
    "nothing flagged": Made({"one": rows([0.9] * 5, negative_label=["flag"] * 5)}),
    "over its error budget": Made({"one": rows([0.1, None])}, run=RUN),
    "no negative labels": Made({"one": rows([0.1, 0.9], negative_label=None)}),
    "no threshold": Made({"one": rows([0.5, 0.5])}, thresholds={}),
    "a far threshold": Made({"one": rows([0.4, 0.5])}, thresholds={"mcm": 1e6}),
    "rescored": Made({"one": rows([0.1, 0.9])}, rescored=True),
    "nulls": Made({"one": rows([0.1, None], key=[None, None], id_label=None, id_probability=None)}),
    "empty texts": Made({"one": rows([0.1, 0.2], key=["", ""], id_label=["", ""], negative_label=["", ""])}),
    "huge scores": Made({"one": rows([-1e9, 1e9, 3.0])}),
    "hostile": Made(
        {name[:40]: rows([0.1] * 2, key=[f"{name}/{name}", name], id_label=[name] * 2, negative_label=[name] * 2)
         for name in HOSTILE if "\ud800" not in name},
        passed_over=dict.fromkeys([name for name in HOSTILE if "\ud800" not in name], 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("scene", SCENES)
def test_every_scan_that_has_ended_has_a_page(tmp_path: Path, scene: str) -> None:
    scan = SCENES[scene].read(tmp_path / "scan")
    page = scan_page(scan)
    assert [one.id for one in page.sections] == [
        "kinds", "scores", "images", "labels", "shards", "errors", "time", "provenance",
    ]  # fmt: skip
    html = render(page)
    assert "<script>window" not in html
    assert (UNSCORED in section(page, "images")) == (
        not any(row["status"] == "ok" for row in all_rows(scan.record.directory))
    )


def test_a_row_without_a_key_is_called_by_its_place(tmp_path: Path) -> None:
    scan = SCENES["nulls"].read(tmp_path / "scan")
    found = images(scan, "", scan.gallery["mcm", "lowest"], "mcm")
    assert isinstance(found, Gallery)
    assert found.pictures[0].title == f"record 0 of {_shard(tmp_path)}"
    assert "nearest" not in dict(found.pictures[0].lines)


def test_a_page_is_titled_by_the_scan_and_says_where_it_lies(tmp_path: Path) -> None:
    page = scan_page(Made({"one": rows([0.5])}).read(tmp_path / "monday"))
    assert (page.title, page.kicker) == ("monday", f"oodscan report on {tmp_path}/monday")
    assert not [block for block in section(page, "labels") if isinstance(block, Grid) and block.title == "By folder"]
