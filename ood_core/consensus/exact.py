"""Sums that do not depend on the order of their terms, so that any split of the images gives the same bits."""

from fractions import Fraction

import numpy as np
from jaxtyping import Float64, Int, Int64

UNIT = 1126
"""Every finite float64 is a whole number of 2^-UNIT."""


def exact_sum(values: Float64[np.ndarray, "..."]) -> int:
    """The sum of finite values, in units of 2^-UNIT, without any rounding. Sums add up as integers do."""
    mantissas, exponents = np.frexp(values.reshape(-1))
    whole = np.ldexp(mantissas, 53).astype(np.int64)
    places = exponents + (UNIT - 53)
    high, low = np.zeros(UNIT + 1024, np.int64), np.zeros(UNIT + 1024, np.int64)
    np.add.at(high, places, whole >> 27)
    np.add.at(low, places, whole & (2**27 - 1))
    used = np.flatnonzero(high | low).tolist()
    return sum(((int(high[place]) << 27) + int(low[place])) << place for place in used)


def fraction(total: int) -> Fraction:
    """The value of an `exact_sum`."""
    return Fraction(total, 1 << UNIT)


def bits_for(largest: float) -> int:
    """How many binary places fixed-point numbers may have whose sums stay within ±`largest` and within 64 bits."""
    return 61 - int(np.frexp(largest)[1]) if largest > 0 else 0


def fixed(values: Float64[np.ndarray, "..."], bits: int) -> Int64[np.ndarray, "..."]:
    """Values as whole numbers of 2^-bits."""
    return np.rint(np.ldexp(values, bits)).astype(np.int64)


def floating(whole: Int64[np.ndarray, "..."], bits: int) -> Float64[np.ndarray, "..."]:
    """The inverse of `fixed`."""
    return np.ldexp(whole.astype(np.float64), -bits)


def sums_by(places: Int[np.ndarray, "..."], terms: Int64[np.ndarray, "..."], count: int) -> Int64[np.ndarray, " count"]:
    """Sums of the terms at each of `count` places."""
    sums = np.zeros(count, np.int64)
    np.add.at(sums, places.reshape(-1), terms.reshape(-1))
    return sums
