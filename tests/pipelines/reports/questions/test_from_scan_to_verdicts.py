"""From a scan of drawings to its questions, answered in Chromium with the keyboard alone, and back into its scores."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser

from pipelines.commands.app import main
from pipelines.verify.verify import verify
from tests.pipelines.in_plan_order import score_rows
from tests.pipelines.reports.browser import View, opened, serious_findings

MOST = 20


def oodscan(patch: pytest.MonkeyPatch, *arguments: object) -> None:
    """Runs the command in this process, which must end well."""
    patch.setattr(sys, "argv", ["oodscan", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)


def answered(view: View, questions: pa.Table) -> None:
    """Animals belong, by `y`; the rest does not, by `n`. All that a person sees of each is its picture and its name."""
    for number, row in enumerate(questions.to_pylist(), start=1):
        shown = view.page.locator(".question.open")
        assert row["key"] in shown.inner_text()
        size = shown.locator("img, .image").first.bounding_box()
        assert size and size["width"] > 100, number
        view.press("y" if "animals" in row["key"] else "n")


def test_answers_to_the_questions_move_scores_as_they_say(
    browser: Browser,
    scan_of_drawings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = Path(shutil.copytree(scan_of_drawings, tmp_path / "scan"))
    oodscan(monkeypatch, "questions", output, "--count", MOST)
    questions = pq.read_table(output / "questions.parquet")
    assert len(questions) == MOST
    assert all(picture is not None for picture in questions["picture"].to_pylist())
    assert all(len(labels) == 5 for labels in questions["nearest_labels"].to_pylist())
    anchors, stands_for = questions["anchor"].to_pylist(), questions["stands_for"].to_pylist()
    assert len(set(anchors)) < len(anchors), "some stand for the same images"
    images = sum(dict(zip(anchors, stands_for, strict=True)).values())
    assert f"20 questions, whose answers speak for about {images:.0f} images" in capsys.readouterr().err
    assert images == pytest.approx(48, abs=1e-3), "each image is spoken for once"
    with opened(browser, output / "questions.html") as view:
        assert serious_findings(view.page) == []
        answered(view, questions)
        view.press("s")  # it asks for a name first
        view.page.keyboard.type("Ada")
        with view.page.expect_download() as download:
            view.press("Enter")
        download.value.save_as(tmp_path / "verdicts.csv")
        assert (view.outside, view.errors) == ([], [])
    oodscan(monkeypatch, "verdicts", output, "--add", tmp_path / "verdicts.csv")

    before, after = score_rows(scan_of_drawings), score_rows(output)
    belong = np.array(["animals" in key for key in after["key"].to_pylist()])
    asked = np.isin(after["key"].to_pylist(), questions["key"].to_pylist())
    verdict = after["verdict"].to_numpy()
    assert asked.sum() == MOST and (asked & belong).any() and (asked & ~belong).any()
    assert (verdict[asked & belong] > 0.1).all() and (verdict[asked & ~belong] < -0.1).all()
    then, now = (table["score_consensus"].to_numpy() for table in (before, after))
    assert now[asked & belong].mean() > 0.3 > -0.3 > now[asked & ~belong].mean()
    apart = [
        (scores[asked & belong].mean() - scores[asked & ~belong].mean())
        / (scores[asked & belong].std() + scores[asked & ~belong].std())
        for scores in (now, then)
    ]
    assert apart[0] > 1.3 * apart[1]
    [part] = (output / "verdicts").glob("part-*")
    kept = pq.read_table(part)
    assert set(kept["by"].to_pylist()) == {"Ada"} and len(kept) == len(questions)
    assert verify(str(output), {}, tables=True).problems == []
