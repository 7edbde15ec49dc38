"""A base method's score as log-odds, which consensus smooths (METHODS.md §10)."""

import numpy as np
from jaxtyping import Float64

from ood_core.methods.method import ImageMethod

EPSILON = 2.0**-53
"""How near 0 and 1 a score can be told from them."""
ROUNDING = 1e-5
"""How far beyond its range a score may be for rounding, in widths of the range; scores come from float32 cosines."""


def log_odds(scores: Float64[np.ndarray, " images"], parameters: ImageMethod) -> Float64[np.ndarray, " images"]:
    """log p / (1 - p), p being a score's share of its method's range; higher = more in-distribution, within ±36.7.

    Where there is no highest score, the log of the distance to the lowest stands for the log-odds, from which it
    differs by a constant where scores are low; where there is no lowest, minus the log of the distance to the highest;
    where there is neither, the score itself. Raises ValueError for scores outside the range, but for rounding and for
    scores below it where the method says that they occur (`falls_below_range`).
    """
    lowest, highest = parameters.score_range
    _check_within(scores, parameters)
    if lowest > -np.inf and highest < np.inf:
        share = np.clip((scores - lowest) / (highest - lowest), EPSILON, 1 - EPSILON)
        return np.log(share) - np.log1p(-share)
    if lowest > -np.inf:
        return np.log(np.clip(scores - lowest, EPSILON, 1 / EPSILON))
    return scores if highest == np.inf else -np.log(np.clip(highest - scores, EPSILON, 1 / EPSILON))


def _check_within(scores: Float64[np.ndarray, " images"], parameters: ImageMethod) -> None:
    lowest, highest = parameters.score_range
    room = ROUNDING * (highest - lowest if np.isfinite([lowest, highest]).all() else 1.0)
    outside = scores > highest + room
    if not parameters.falls_below_range:
        outside |= scores < lowest - room
    if outside.any():
        name, score = type(parameters).__name__, float(scores[np.argmax(outside)])
        raise ValueError(f"{name} scores are between {lowest:g} and {highest:g}, and {score:g} is not")
