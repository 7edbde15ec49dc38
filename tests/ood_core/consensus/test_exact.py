from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ood_core.consensus.exact import bits_for, exact_sum, fixed, floating, fraction, sums_by

finite = st.floats(allow_nan=False, allow_infinity=False)
TINY, HUGE = 5e-324, np.finfo(np.float64).max


@given(st.lists(finite, max_size=30))
@settings(max_examples=200)
def test_a_sum_is_that_of_fractions(values):
    assert fraction(exact_sum(np.array(values, np.float64))) == sum(map(Fraction, values))


@pytest.mark.parametrize(
    "values",
    [
        [],
        [0.0, -0.0],
        [TINY],
        [TINY, -TINY, TINY, -3 * TINY],
        [HUGE, HUGE, TINY],
        [HUGE, -TINY, -HUGE],
        [-1.0, 2.0**-53, -(2.0**-1074), 2.2250738585072014e-308],
        [1e16, 1.0, -1e16],
        [-HUGE] * 5000,
        [0.1] * 100_000,
    ],
)
def test_no_term_is_lost_beside_another(values):
    assert fraction(exact_sum(np.array(values, np.float64))) == sum(map(Fraction, values))


def test_sums_of_parts_add_up():
    values = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.random.default_rng(1).integers(-300, 300, 1000)
    assert exact_sum(values[:77]) + exact_sum(values[77:]) == exact_sum(values) == exact_sum(values.reshape(20, 50).T)


@given(st.floats(min_value=TINY, allow_infinity=False), st.integers(1, 3000), st.integers(0, 10**6))
@settings(max_examples=100)
def test_sums_within_the_largest_fit_into_64_bits_and_use_most_of_them(largest, count, seed):
    assert 2**60 <= int(fixed(np.array([largest]), bits_for(largest))[0]) <= 2**61
    shares = np.random.default_rng(seed).dirichlet(np.ones(count))
    terms = fixed(largest * shares, bits_for(largest))
    assert sum(map(int, terms)) < 2**62
    assert int(sums_by(np.zeros(count, np.int64), terms, 1)[0]) == sum(map(int, terms))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("largest", [TINY, 1e-300, 1.0, 2.0**17 - 1e-6, 2.0**17, 1e300])
def test_many_equal_terms_do_not_run_over(largest, sign):
    count = 2**17
    terms = fixed(np.full(count, sign * largest / count), bits_for(largest))
    total = sums_by(np.zeros(count, np.int64), terms, 1)
    assert int(total[0]) == sum(map(int, terms))
    if largest > 1e-300:
        assert floating(total, bits_for(largest))[0] == pytest.approx(sign * largest, rel=1e-9)


def test_where_nothing_is_summed_whole_numbers_do():
    assert bits_for(0.0) == 0


@given(st.integers(-(2**53), 2**53), st.integers(-900, 900))
def test_whole_numbers_come_back(number, bits):
    there = floating(np.array([number]), bits)
    assert Fraction(float(there[0])) == Fraction(number) / Fraction(2) ** bits
    assert fixed(there, bits).tolist() == [number]


@given(st.floats(-1000, 1000), st.integers(0, 40))
def test_values_come_back_to_half_a_unit(value, bits):
    back = floating(fixed(np.array([value]), bits), bits)
    assert abs(Fraction(float(back[0])) - Fraction(value)) <= Fraction(1, 2 ** (bits + 1))


def test_terms_are_summed_place_by_place():
    places, terms = np.array([[2, 0], [2, 2], [0, 4]]), np.array([[1, 10], [2, 2**60], [-3, 5]])
    assert sums_by(places, terms, 6).tolist() == [7, 0, 2**60 + 3, 0, 5, 0]
