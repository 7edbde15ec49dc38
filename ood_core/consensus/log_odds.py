"""A base method's score as log-odds, which consensus smooths (METHODS.md §10)."""

import numpy as np
from jaxtyping import Float64

from ood_core.methods import GLMCM, AdaNeg, Debiased, NegRefine, Parameters

EPSILON = 2.0**-53
"""How near 0 and 1 a score can be told from them."""


def log_odds(scores: Float64[np.ndarray, " images"], parameters: Parameters) -> Float64[np.ndarray, " images"]:
    """log p / (1 - p), p being the score's share of the highest one; higher = more in-distribution, within ±36.7.

    A `debiased` score has no highest, for its normaliser may be less than the ID labels' mass. Its log stands for its
    log-odds, from which it differs by a constant where scores are low; scores below 0 count as 0.
    """
    if isinstance(parameters, Debiased):
        return np.log(np.clip(scores, EPSILON, 1 / EPSILON))
    share = np.clip(scores / _highest(parameters), EPSILON, 1 - EPSILON)
    return np.log(share) - np.log1p(-share)


def _highest(parameters: Parameters) -> float:
    match parameters:
        case GLMCM():
            return 1 + parameters.local_weight
        case NegRefine():
            return 1 + parameters.alpha
        case AdaNeg():
            return 1 + parameters.weight_of_static
        case _:
            return 1.0
