"""The first screen of a report: one sentence, how it is to be taken, and the facts beside it."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.flags.thresholds import MethodThreshold
from pipelines.reports.scan.verdict import HINT, facts, points, verdict
from tests.pipelines.reports.ended_scans import RUN, Made, rows

ESTIMATED = {"mcm": MethodThreshold(0.5, "estimated")}
TEN = [0.1, *[0.9] * 9]
"""Of ten scores one is below the threshold."""
SPACE = "\u202f"


@pytest.mark.parametrize(
    ("scores", "made", "tone", "sentence"),
    [
        (TEN, {}, "neutral", "10.0 % of 10 images are flagged by mcm."),
        ([0.9] * 4, {}, "good", "0.0 % of 4 images are flagged by mcm."),
        ([0.1] * 4, {}, "neutral", "100.0 % of 4 images are flagged by mcm."),
        ([0.1], {}, "neutral", "100.0 % of 1 image is flagged by mcm."),
        (TEN, {"thresholds": ESTIMATED}, "warn", "10.0 % of 10 images are flagged by mcm."),
        (TEN, {"settings": {"max_flagged": 0.1}}, "good", "10.0 % of 10 images are flagged by mcm."),
        (TEN, {"settings": {"max_flagged": 0.05}}, "bad",
         "10.0 % of 10 images are flagged by mcm; no more than 5.0 % may be."),
        ([0.9, 0.9, 0.9, None], {}, "bad",
         "0.0 % of 3 images are flagged by mcm; 25.0 % of the records are in error, and 1.0 % may be."),
        ([0.9, None], {"settings": {"max_bad_fraction": 0.5}}, "good", "0.0 % of 1 image is flagged by mcm."),
        ([None, None], {}, "bad", "No image could be scored, of 2 records."),
        ([None], {"settings": {"max_bad_fraction": 1.0}}, "bad", "No image could be scored, of 1 record."),
        ([], {}, "bad", "The input holds no records."),
        ([0.7] * 3, {"thresholds": {}}, "warn",
         "Nothing is flagged of 3 images: mcm has no threshold, as all of its scores are the same."),
    ],
)  # fmt: skip
def test_the_first_sentence_says_what_is_flagged_and_why_the_command_has_failed(
    tmp_path: Path, scores: list[float | None], made: dict[str, Any], tone: str, sentence: str
) -> None:
    found = verdict(Made({"one": rows(scores)}, **made).read(tmp_path / "scan"), None)
    assert (found.tone, found.sentence.replace(SPACE, " ")) == (tone, sentence)


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, "1 archive is damaged or could not be read"), (2, "2 archives are damaged or could not be read")],
)
def test_the_first_sentence_counts_damaged_archives(tmp_path: Path, count: int, said: str) -> None:
    bad = {f"bad {number}": rows([0.9, None], status=["ok", "damaged-archive"]) for number in range(count)}
    scan = Made({"good": rows([0.9] * 400), **bad}).read(tmp_path / "scan")
    assert verdict(scan, None).sentence.endswith(f"are flagged by mcm; {said}.")


def test_the_sentence_is_explained_by_where_the_threshold_comes_from(tmp_path: Path) -> None:
    given = verdict(Made({"one": rows(TEN)}).read(tmp_path / "given"), None)
    assert given.detail == (
        "Images that score below a method's threshold are flagged; mcm decides. Its threshold was given."
    )
    estimated = verdict(Made({"one": rows(TEN)}, thresholds=ESTIMATED).read(tmp_path / "estimated"), None)
    assert "Its threshold is an estimate from the scan's own scores, which cuts even where" in estimated.detail
    assert estimated.detail.endswith(HINT)


def test_last_night_is_called_by_what_tells_it_apart(tmp_path: Path) -> None:
    before = Made({"one": rows([0.1, 0.2, 0.9, 0.9])}).read(tmp_path / "monday/scan")
    after = Made({"one": rows(TEN)}).read(tmp_path / "tuesday/scan")
    assert verdict(after, before).sentence == (
        f"10.0{SPACE}% of 10 images are flagged by mcm, after 50.0{SPACE}% in monday/scan."
    )
    change = next(fact for fact in facts(after, before) if fact.name == "since last night")
    assert (change.value, change.note) == ("−40.0 points", f"50.0{SPACE}% in monday/scan")


def test_last_night_without_a_threshold_of_the_deciding_method_is_not_mentioned(tmp_path: Path) -> None:
    before = Made({"one": rows({"max-cos": TEN})}, ("max-cos",), {"max-cos": 0.5}).read(tmp_path / "before")
    after = Made({"one": rows(TEN)}).read(tmp_path / "after")
    assert "before" not in verdict(after, before).sentence
    assert [fact.name for fact in facts(after, before)] == ["records", "flagged by mcm", "errors"]


def test_the_facts_are_counts_with_what_they_are_to_be_held_against(tmp_path: Path) -> None:
    made = Made(
        {
            "one": rows([0.1] * 20 + [0.9] * 980),
            "two": rows([None, None, None], status=["empty-file", *["too-large"] * 2]),
        },
        settings={"max_flagged": 0.5},
        run=RUN,
    )
    found = [
        (fact.name, fact.value, fact.note.replace(SPACE, " "), fact.tone)
        for fact in facts(made.read(tmp_path / "scan"), None)
    ]
    # Wilson's interval of 20 in 1000: 0.0130 to 0.0307.
    assert found == [
        ("records", f"1{SPACE}003", "in 2 shards", "neutral"),
        ("flagged by mcm", "20", "2.0 % (95 % interval: 1.3 % to 3.1 %), 50.0 % may be", "good"),
        ("errors", "3", "2 too-large, 1 empty-file", "neutral"),
        ("images a second", f"1{SPACE}234", "limited by encode", "neutral"),
    ]


def test_errors_are_bad_where_they_exceed_the_budget_and_flags_where_they_exceed_theirs(tmp_path: Path) -> None:
    scan = Made({"one": rows([0.1, None])}, settings={"max_flagged": 0.0}).read(tmp_path / "scan")
    tones = {fact.name: fact.tone for fact in facts(scan, None)}
    assert (tones["errors"], tones["flagged by mcm"]) == ("bad", "bad")


@pytest.mark.parametrize(
    ("more", "said"),
    [(0.0123, "+1.2"), (-0.5, "−50.0"), (0.0, "±0.0"), (-0.0004, "±0.0")],
)
def test_differences_are_told_in_points(more: float, said: str) -> None:
    assert points(more) == said
