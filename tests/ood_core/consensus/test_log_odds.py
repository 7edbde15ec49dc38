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
EXTREMES = np.array([-1e300, -1.0, -1e-300, -0.0, 0.0, 5e-324, 1e-17, 0.5, 1 - 2.0**-53, 1.0, 1.1, 3.0, 3.1])


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
def test_at_the_ends_and_beyond_they_are_finite(parameters):
    found = log_odds(EXTREMES, parameters)
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 36.75
    assert (np.diff(found) >= 0).all()


@every_top
def test_beyond_the_ends_they_are_those_at_the_ends(parameters, top):
    below, least, highest, above = log_odds(np.array([-0.1, 0.0, top, top * 1.01]), parameters)
    assert (below, highest) == (least, above)
    assert least == pytest.approx(-36.7368, abs=1e-4)
    assert highest == pytest.approx(36.7368, abs=1e-4)


def test_scores_next_to_1_are_told_apart():
    found = log_odds(1 - np.array([4, 3, 2, 1]) * 2.0**-53, NegLabel())
    assert (np.diff(found) > 0.2).all()


@given(
    st.lists(st.floats(-0.1, 3.1), min_size=2, max_size=20),
    st.sampled_from([*(parameters for parameters, _ in TOPS), Debiased()]),
)
def test_a_higher_score_never_has_lower_ones(scores, parameters):
    assert (np.diff(log_odds(np.sort(scores), parameters)) >= -1e-12).all()
