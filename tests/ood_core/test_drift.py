"""How far scores have moved, against SciPy and by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from ood_core.drift import DEVIATIONS, HISTORY, LEAST_DEVIATION, Counted, jensen_shannon, usual_limit, wasserstein

SCORES = st.lists(st.floats(-5, 40, allow_subnormal=False), min_size=1, max_size=60)
"""Of every method: cosines, probabilities, and log-odds."""
NOTHING = Counted(np.empty(0), np.empty(0, np.int64))


def counted(scores: list[float] | np.ndarray) -> Counted:
    values, counts = np.unique(np.asarray(scores, np.float64), return_counts=True)
    return Counted(values, counts)


def every(one: Counted) -> np.ndarray:
    return np.repeat(one.values, one.counts)


def naive_jensen_shannon(reference: Counted, other: Counted) -> float:
    """SciPy's, over NumPy's own bins by Doane's rule and one on either side; a bin holds its upper edge."""
    edges = np.histogram_bin_edges(every(reference), "doane")
    edges[0] = np.nextafter(edges[0], -np.inf)  # so that the lowest score is in the first bin
    counts = [np.bincount(np.searchsorted(edges, every(one)), minlength=len(edges) + 1) for one in (reference, other)]
    return float(jensenshannon(*counts, base=2))


@given(SCORES, SCORES)
def test_scores_have_moved_by_scipys_wasserstein_distance_in_standard_deviations(
    before: list[float], after: list[float]
) -> None:
    expected = wasserstein_distance(before, after) / max(float(np.std(before)), LEAST_DEVIATION)
    assert wasserstein(counted(before), counted(after)) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_the_jensen_shannon_distance_is_scipys_on_the_same_histogram(seed: int) -> None:
    random = np.random.default_rng(seed)
    before = counted(random.beta(8, 1 + seed % 3, 50 * (seed + 1)).round(4))
    after = counted(random.normal(0.7, 0.2, 300).round(4))
    assert jensen_shannon(before, after) == pytest.approx(naive_jensen_shannon(before, after), abs=1e-9)


def test_a_distance_by_hand() -> None:
    # Half of the scores move from 0 to 1; the standard deviation before is 1 / 2.
    before, after = counted([0.0, 0.0, 1.0, 1.0]), counted([0.0, 1.0, 1.0, 1.0])
    assert wasserstein(before, after) == pytest.approx(0.25 / 0.5)
    # Of the bins only the first and the last hold scores: 1/2, 1/2 and 1/4, 3/4; their middle is 3/8, 5/8.
    divergence = 0.5 * (0.5 * math.log2(4 / 3) + 0.5 * math.log2(4 / 5)) + 0.5 * (
        0.25 * math.log2(2 / 3) + 0.75 * math.log2(6 / 5)
    )
    assert jensen_shannon(before, after) == pytest.approx(math.sqrt(divergence))


@given(SCORES)
def test_a_distribution_is_at_no_distance_from_itself(scores: list[float]) -> None:
    assert wasserstein(counted(scores), counted(scores)) == 0.0
    assert jensen_shannon(counted(scores), counted(scores)) == 0.0


@given(SCORES, SCORES)
def test_distances_are_of_the_distributions_whatever_the_numbers_of_images(
    before: list[float], after: list[float]
) -> None:
    one, other = counted(before), counted(after)
    twice = Counted(other.values, 2 * other.counts)
    for distance in (wasserstein, jensen_shannon):
        assert distance(one, twice) == pytest.approx(distance(one, other), rel=1e-9, abs=1e-9)


@given(SCORES, SCORES, st.floats(-10, 10), st.floats(0.5, 20))
def test_how_far_scores_have_moved_does_not_depend_on_their_unit(
    before: list[float], after: list[float], shift: float, scale: float
) -> None:
    one, other = counted(before), counted(after)
    if min(one.deviation, one.deviation * scale) <= LEAST_DEVIATION:
        return
    moved = [counted(shift + scale * every(scores)) for scores in (one, other)]
    assert wasserstein(*moved) == pytest.approx(wasserstein(one, other), rel=1e-5, abs=1e-5)


@given(SCORES, SCORES)
def test_both_ways_scores_have_moved_as_far_but_for_the_unit(before: list[float], after: list[float]) -> None:
    one, other = counted(before), counted(after)
    there, back = (max(scores.deviation, LEAST_DEVIATION) for scores in (one, other))
    assert wasserstein(one, other) * there == pytest.approx(wasserstein(other, one) * back, rel=1e-9, abs=1e-12)


@given(SCORES, SCORES)
def test_the_jensen_shannon_distance_is_between_0_and_1(before: list[float], after: list[float]) -> None:
    assert 0 <= jensen_shannon(counted(before), counted(after)) <= 1 + 1e-12


def test_distributions_with_nothing_in_common_are_as_far_apart_as_can_be() -> None:
    before, after = counted(np.linspace(0, 1, 50)), counted(np.linspace(2, 3, 70))
    assert jensen_shannon(before, after) == pytest.approx(1.0)
    assert wasserstein(before, after) == pytest.approx(2 / before.deviation)


def test_scores_that_are_all_the_same_are_measured_against_a_thousandth() -> None:
    before, near, far = counted([0.5] * 9), counted([0.5001] * 4), counted([0.7])
    assert wasserstein(before, near) == pytest.approx(0.1)
    assert wasserstein(before, far) == pytest.approx(200)
    assert jensen_shannon(before, far) == 1.0
    assert jensen_shannon(before, before) == 0.0


def test_two_scores_are_enough() -> None:
    assert jensen_shannon(counted([0.1, 0.2]), counted([0.15])) == pytest.approx(
        naive_jensen_shannon(counted([0.1, 0.2]), counted([0.15]))
    )


@pytest.mark.parametrize("distance", [wasserstein, jensen_shannon])
def test_no_scores_cannot_be_compared(distance: Callable[[Counted, Counted], float]) -> None:
    for pair in ((NOTHING, counted([0.1])), (counted([0.1]), NOTHING), (NOTHING, NOTHING)):
        with pytest.raises(ValueError, match="no scores to compare"):
            distance(*pair)


def test_what_is_usual_is_the_mean_of_past_nights_and_three_of_their_standard_deviations() -> None:
    assert (HISTORY, DEVIATIONS) == (3, 3.0)
    # The mean is 2, the mean of the squares of 1, 0 and 1 is 2 / 3.
    assert usual_limit(np.array([1.0, 2.0, 3.0])) == pytest.approx(2 + 3 * math.sqrt(2 / 3))
    assert usual_limit(np.array([0.2] * 4)) == pytest.approx(0.2)


@pytest.mark.parametrize("nights", range(HISTORY))
def test_of_fewer_nights_nobody_can_tell_what_is_usual(nights: int) -> None:
    assert usual_limit(np.array([0.1] * nights)) is None
