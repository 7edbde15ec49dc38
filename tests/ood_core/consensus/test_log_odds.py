import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ood_core.consensus import log_odds
from ood_core.methods import GLMCM, MCM, AdaNeg, Debiased, InterNeg, NegLabel, NegRefine

TOPS = [
    (MCM(), 1.0),
    (GLMCM(), 2.0),
    (GLMCM(local_weight=0.5), 1.5),
    (NegLabel(), 1.0),
    (NegRefine(), 3.0),
    (NegRefine(alpha=0.25), 1.25),
    (AdaNeg(), 1.1),
    (AdaNeg(adaptive_gap=True), 2.0),
    (AdaNeg(static_weight=0.4), 1.4),
    (InterNeg(), 1.0),
]
every_top = pytest.mark.parametrize(("parameters", "top"), TOPS)
every_method = pytest.mark.parametrize("parameters", [*(parameters for parameters, _ in TOPS), Debiased()])


@every_top
def test_they_are_those_of_the_share_of_the_highest_score(parameters, top):
    found = log_odds(top * np.array([0.5, 0.8, 0.2, 1e-9, 1 - 1e-9]), parameters)
    expected = [0, np.log(4), -np.log(4), np.log(1e-9), -np.log(1e-9)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_of_a_debiased_score_they_are_its_log():
    found = log_odds(np.array([1.0, 0.05, 4.0, 1e-9]), Debiased())
    np.testing.assert_allclose(found, [0, -np.log(20), np.log(4), np.log(1e-9)], rtol=0, atol=1e-12)


def test_a_debiased_score_below_0_counts_as_0():
    assert len(set(log_odds(np.array([-5.0, -1e-9, 0.0]), Debiased()))) == 1


@every_method
def test_at_the_ends_they_are_finite(parameters):
    highest = min(parameters.score_range[1], 1e300)
    found = log_odds(highest * np.array([-0.0, 0.0, 5e-324, 1e-17, 0.5, 1 - 2.0**-53, 1.0]), parameters)
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 36.75
    assert (np.diff(found) >= 0).all()


@every_top
def test_beyond_the_ends_by_rounding_they_are_those_at_the_ends(parameters, top):
    below, least, highest, above = log_odds(np.array([-1e-7, 0.0, top, top + 1e-7]), parameters)
    assert (below, highest) == (least, above)
    assert least == pytest.approx(-36.7368, abs=1e-4)
    assert highest == pytest.approx(36.7368, abs=1e-4)


@every_top
def test_scores_outside_the_range_are_refused(parameters, top):
    for wrong in (-0.1, top + 0.1, -np.inf, np.inf):
        with pytest.raises(ValueError, match=f"scores are between 0 and {top:g}, and {wrong:g} is not"):
            log_odds(np.array([0.5, wrong]), parameters)


@dataclass(frozen=True)
class Ranged(NegLabel):
    """A method whose scores are in any range."""

    lowest: float = -math.inf
    highest: float = math.inf

    @property
    def score_range(self) -> tuple[float, float]:
        return self.lowest, self.highest


def test_of_a_range_that_does_not_begin_at_0_they_are_those_of_the_share_of_it():
    found = log_odds(np.array([-1.0, 0.0, 3.0]), Ranged(lowest=-1, highest=3))
    np.testing.assert_allclose(found[1:], [-np.log(3), 36.7368], atol=1e-4)
    assert found[0] == -found[2]


def test_of_a_score_without_a_lowest_and_a_highest_they_are_the_score():
    np.testing.assert_array_equal(log_odds(np.array([-500.0, 3.0]), Ranged()), [-500.0, 3.0])


def test_of_a_score_without_a_lowest_they_are_minus_the_log_of_the_distance_to_the_highest():
    np.testing.assert_allclose(log_odds(np.array([-9.0, 0.0]), Ranged(highest=1)), [-np.log(10), 0], atol=1e-12)


def test_scores_next_to_1_are_told_apart():
    found = log_odds(1 - np.array([4, 3, 2, 1]) * 2.0**-53, NegLabel())
    assert (np.diff(found) > 0.2).all()


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=20),
    st.sampled_from([*(parameters for parameters, _ in TOPS), Debiased()]),
)
def test_a_higher_score_never_has_lower_ones(scores, parameters):
    assert (np.diff(log_odds(np.sort(scores) * min(parameters.score_range[1], 4.0), parameters)) >= -1e-12).all()
