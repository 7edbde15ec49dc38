"""Two scans held against each other: how far scores have moved, what is flagged, and what cannot be compared."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from pipelines.errors import CallerError
from pipelines.flags.thresholds import MethodThreshold
from pipelines.reports.comparison.compare import DRIFT, Comparison, Drift, compare
from tests.pipelines.reports.ended_scans import Made, bank_at, rows

TEN = [0.1, *[0.9] * 9]


def compared(place: Path, before: Made, after: Made, *history: Made) -> Comparison:
    nights = [one.read(place / f"night {number}", "--history") for number, one in enumerate(history)]
    return compare(before.read(place / "before", "BEFORE"), after.read(place / "after", "AFTER"), nights)


def refusal(place: Path, *scans: Made) -> str:
    with pytest.raises(CallerError) as refused:
        compared(place, *scans)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_scores_have_moved_by_what_scipy_says_of_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    before, after = random.beta(5, 2, 700).tolist(), random.beta(4, 2, 500).tolist()
    found = compared(tmp_path, Made({"one": rows(before)}), Made({"one": rows(after[:100]), "two": rows(after[100:])}))
    (drift,) = found.drifts
    assert drift.moved == pytest.approx(wasserstein_distance(before, after) / np.std(before), rel=1e-2)
    assert (drift.before, drift.after) == (np.mean(np.less(before, 0.5)), np.mean(np.less(after, 0.5)))
    assert found.more_flagged == pytest.approx(np.mean(np.less(after, 0.5)) - np.mean(np.less(before, 0.5)))
    assert found.deciding is drift


def test_a_scan_is_as_it_was_against_itself(tmp_path: Path) -> None:
    made = Made({"one": rows([0.1, 0.9, None], negative_label=["flag", "flag", None])})
    found = compared(tmp_path, made, made)
    assert [(one.moved, one.apart, one.alarm) for one in found.drifts] == [(0.0, 0.0, "")]
    assert (found.more_flagged, found.kinds, found.broken) == (0.0, [], [])
    assert {one.state for one in [*found.shards, *found.labels, *found.groups]} == {"same"}


def test_methods_that_both_scans_have_are_compared_and_the_later_decides(tmp_path: Path) -> None:
    before = Made({"one": rows({"max-cos": TEN, "mcm": TEN})}, ("max-cos", "mcm"), {"max-cos": 0.5, "mcm": 0.95})
    after = Made({"one": rows({"mcm": TEN, "neglabel": TEN})}, ("mcm", "neglabel"))
    found = compared(tmp_path, before, after)
    assert [drift.method for drift in found.drifts] == ["mcm"]
    # By mcm all of the first shard were flagged before, by max-cos, which decided then, one of ten.
    assert found.more_flagged == pytest.approx(-0.9)
    assert found.shards[0].before.flagged == 10


def test_without_flags_by_the_deciding_method_before_shares_are_not_compared(tmp_path: Path) -> None:
    table = rows([0.1] * 20, negative_label=["flag"] * 20)
    found = compared(tmp_path, Made({"one": table}, thresholds={}), Made({"one": table}))
    assert (found.more_flagged, found.kinds) == (None, [])
    assert (found.deciding.before, found.deciding.after) == (None, 1.0)
    assert [one.more for one in found.shards] == [0.0]


@pytest.mark.parametrize(
    ("moved", "apart", "usual", "alarm"),
    [
        (DRIFT, 0.2, None, "scores have moved by 0.10 standard deviations"),
        (0.0999, 0.9, None, ""),
        (0.5, 0.2, 0.3, ""),
        (0.0, 0.31, 0.3, "Jensen–Shannon distance 0.310, and 0.300 is the most to expect by past nights"),
    ],
)
def test_past_nights_say_what_a_drift_is_and_without_them_a_tenth_of_a_deviation(
    moved: float, apart: float, usual: float | None, alarm: str
) -> None:
    assert Drift("mcm", moved, apart, usual, None, None).alarm == alarm


def test_what_is_usual_is_known_from_three_past_nights_on(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    nights = [Made({"one": rows(random.beta(5, 2, 300).tolist())}) for _ in range(5)]
    assert compared(tmp_path / "two", *nights[:4]).deciding.usual is None
    found = compared(tmp_path / "three", *nights).deciding
    assert found.usual is not None
    assert 0 < found.apart < found.usual < 1
    shifted = Made({"one": rows(random.beta(2, 5, 300).tolist())})
    assert compared(tmp_path / "shifted", nights[0], shifted, *nights[2:]).deciding.alarm


def test_a_night_without_scores_by_a_method_says_nothing_of_it(tmp_path: Path) -> None:
    night, other = Made({"one": rows(TEN)}), Made({"one": rows({"max-cos": TEN})}, ("max-cos",), {})
    assert compared(tmp_path / "a", night, night, night, night, other).deciding.usual is None
    assert compared(tmp_path / "b", night, night, night, night, night).deciding.usual == 0.0


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (Made({"one": rows(TEN)}, weights="others"), "are by different models: their weights are weights… and others…"),
        (
            Made({"one": rows(TEN)}, settings={"param": {"mcm.temperature": 0.5}}),
            "were scored by mcm with different parameters: MCM(temperature=1.0) and MCM(temperature=0.5)",
        ),
        (Made({"one": rows(TEN)}, bank=Path("other-bank")), "were made with different label banks"),
    ],
    ids=["weights", "parameters", "bank"],
)
@pytest.mark.parametrize("place", ["AFTER", "--history"])
def test_scans_whose_scores_do_not_mean_the_same_are_not_compared(
    tmp_path: Path, made: Made, said: str, place: str
) -> None:
    if made.bank:
        bank_at(tmp_path / "other-bank", ("sheep", "goat"))
        made = Made(made.shards, bank=tmp_path / "other-bank")
    night = Made({"one": rows(TEN)})
    scans, name = ((night, made), "after") if place == "AFTER" else ((night, night, made), "night 0")
    assert refusal(tmp_path, *scans) == f"BEFORE '{tmp_path}/before' and {place} '{tmp_path}/{name}' {said}"


def test_scans_of_a_model_and_of_embeddings_are_compared(tmp_path: Path) -> None:
    night = Made({"one": rows(TEN)})
    assert compared(tmp_path, night, Made({"one": rows(TEN)}, rescored=True)).more_flagged == 0.0


def test_without_scores_to_compare_the_scan_is_named(tmp_path: Path) -> None:
    night, other = Made({"one": rows(TEN)}), Made({"one": rows({"max-cos": TEN})}, ("max-cos",), {})
    lacks = f"BEFORE '{tmp_path}/a/before' has no scores by mcm, which decides in '{tmp_path}/a/after'"
    assert refusal(tmp_path / "a", other, night) == lacks
    assert (
        refusal(tmp_path / "b", night, Made({"one": rows([None])})) == f"AFTER '{tmp_path}/b/after' has scored nothing"
    )


def test_scores_of_any_size_are_compared(tmp_path: Path) -> None:
    found = compared(tmp_path, Made({"one": rows([0.5] * 3)}), Made({"one": rows([1e9, -1e9])}))
    assert all(math.isfinite(value) for drift in found.drifts for value in (drift.moved, drift.apart))


def test_thresholds_of_their_own_make_other_shares_of_the_same_scores(tmp_path: Path) -> None:
    thresholds: dict[str, Any] = {"mcm": MethodThreshold(0.95, "estimated")}
    found = compared(tmp_path, Made({"one": rows(TEN)}), Made({"one": rows(TEN)}, thresholds=thresholds))
    assert found.more_flagged == pytest.approx(0.9)
    assert found.deciding.moved == 0.0
