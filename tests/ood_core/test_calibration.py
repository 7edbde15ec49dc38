"""Thresholds that keep a share of images, estimates without labels, and intervals of shares."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ood_core.calibration import estimated, images_needed, keeping, share_interval

some_scores = st.lists(st.floats(-100, 100), min_size=1, max_size=60).map(np.array)


@given(some_scores, st.floats(0.01, 1))
def test_a_threshold_keeps_the_share_and_no_higher_one_does(scores, keep):
    found = keeping(scores, keep)
    assert np.mean(scores >= found.value) >= keep - 1e-9
    higher = scores[scores > found.value]
    assert not len(higher) or np.mean(scores >= higher.min()) < keep + 1e-9
    assert found.low <= found.high
    assert {found.value, found.low, found.high} <= set(scores.tolist())


@given(some_scores, st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(scores, random):
    assert keeping(np.array(random.sample(scores.tolist(), len(scores)))) == keeping(scores)


def test_a_case_by_hand():
    # Of 20 images the lowest may go.
    assert keeping(np.arange(20.0)).value == 1.0
    assert keeping(np.arange(20.0), keep=1.0).value == 0.0


def test_the_interval_is_nearly_that_of_resamples():
    scores = np.random.default_rng(1).normal(size=500)
    drawn = np.random.default_rng(2)
    values = [keeping(drawn.choice(scores, len(scores))).value for _ in range(300)]
    found = keeping(scores)
    assert found.low == pytest.approx(np.quantile(values, 0.025), abs=0.12)
    assert found.high == pytest.approx(np.quantile(values, 0.975), abs=0.12)


def test_the_interval_covers_the_true_threshold():
    truth, covered, random = -1.6448536269514722, 0, np.random.default_rng(3)
    for _ in range(300):
        found = keeping(random.normal(size=400))
        covered += found.low <= truth <= found.high
    assert 0.93 <= covered / 300 <= 0.99


def test_as_many_images_as_are_needed_keep_the_share_within_what_was_asked():
    count, random = images_needed(0.95, within=0.02), np.random.default_rng(4)
    assert count == 457
    others = random.normal(size=200_000)
    kept = [np.mean(others >= keeping(random.normal(size=count)).value) for _ in range(200)]
    assert 0.92 <= np.mean(np.abs(np.array(kept) - 0.95) <= 0.02) <= 0.99


@pytest.mark.parametrize(
    ("scores", "keep", "message"), [([], 0.9, "no scores"), ([1.0], 0.0, "not 0.0"), ([1.0], 1.5, "not 1.5")]
)
def test_what_nothing_can_be_kept_of_is_refused(scores, keep, message):
    with pytest.raises(ValueError, match=message):
        keeping(np.array(scores), keep)


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=80))
def test_an_estimate_splits_into_the_two_tightest_groups(drawn):
    values, counts = np.unique(np.array(drawn, float), return_counts=True)
    found = estimated(values, counts)
    if len(values) < 2:
        assert found is None
        return
    scores = np.array(drawn, float)

    def within(cut: float) -> float:
        below, above = scores[scores < cut], scores[scores >= cut]
        return len(below) * below.var() + len(above) * above.var()

    best = min(within((one + other) / 2) for one, other in itertools.pairwise(values))
    assert found is not None
    assert within(found) == pytest.approx(best, abs=1e-6)


def test_an_estimate_lies_between_two_groups_and_cuts_one_too():
    random = np.random.default_rng(5)
    two = np.sort(np.concatenate([random.normal(0, 0.5, 200), random.normal(5, 0.5, 300)]))
    found = estimated(two, np.ones(500, int))
    assert found is not None
    assert 1.5 < found < 3.5
    one = np.sort(random.normal(size=500))
    cut = estimated(one, np.ones(500, int))
    assert cut is not None
    share = float(np.mean(one < cut))
    assert 0.3 < share < 0.7  # it always cuts: what it says is an estimate


def test_counts_weigh_and_values_without_any_do_not():
    assert estimated(np.array([0.0, 1.0, 2.0, 9.0]), np.array([5, 5, 0, 1])) == 5.0


@pytest.mark.parametrize(
    ("count", "of", "expected"),
    [(0, 0, (0, 1)), (0, 10, (0, 0.2775)), (5, 10, (0.2366, 0.7634)), (10, 10, (0.7225, 1))],
)
def test_the_interval_of_a_share_is_wilsons(count, of, expected):
    assert share_interval(count, of) == pytest.approx(expected, abs=1e-4)
