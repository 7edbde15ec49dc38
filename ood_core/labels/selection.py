"""Which candidates are kept, once a criterion has ranked them. Free of torch."""

import numpy as np
from jaxtyping import Float, Int


def keep_lowest(scores: Float[np.ndarray, " candidates"], fraction: float) -> Int[np.ndarray, " kept"]:
    """Indices of the lowest `fraction` of the scores (rounded down), lowest first, ties in the candidates' order."""
    return np.argsort(scores, kind="stable")[: int(len(scores) * fraction)]
