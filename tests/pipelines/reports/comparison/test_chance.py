"""Whether chance explains more flags, against SciPy."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from pipelines.reports.comparison.chance import chance_of_more

PART = st.integers(1, 300).flatmap(lambda images: st.tuples(st.integers(0, images), st.just(images)))


@given(PART, PART)
def test_the_probability_is_that_of_fishers_exact_test(before: tuple[int, int], now: tuple[int, int]) -> None:
    (flagged_before, images_before), (flagged, images) = before, now
    expected = 1.0
    if flagged * images_before > flagged_before * images:
        expected = float(hypergeom.sf(flagged - 1, images_before + images, flagged_before + flagged, images))
    assert chance_of_more(before, now) == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_a_probability_by_hand() -> None:
    # Of four flagged images all fall to the four of now, of eight: one way of 70.
    assert chance_of_more((0, 4), (4, 4)) == pytest.approx(1 / 70)


@pytest.mark.parametrize(
    ("before", "now"), [((5, 10), (5, 10)), ((5, 10), (4, 10)), ((0, 10), (0, 7)), ((0, 0), (3, 3)), ((1, 3), (0, 0))]
)
def test_where_the_share_has_not_risen_chance_explains_all(before: tuple[int, int], now: tuple[int, int]) -> None:
    assert chance_of_more(before, now) == 1.0


def test_scans_of_any_size_are_quick() -> None:
    began = time.monotonic()
    assert chance_of_more((10**7, 10**9), (10**7 + 10, 10**9)) == pytest.approx(0.4991, abs=0.001)
    assert chance_of_more((10**7, 10**9), (2 * 10**7, 10**9)) == 0.0
    assert chance_of_more((10**5, 10**7), (2, 10)) == pytest.approx(float(hypergeom.sf(1, 10**7, 10**5, 10)), rel=1e-3)
    assert time.monotonic() - began < 1
