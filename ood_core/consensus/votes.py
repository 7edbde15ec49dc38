"""The votes of images on anchors (METHODS.md §10). Free of torch."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Integer


@dataclass(frozen=True)
class Votes:
    """Votes of some images: log-odds of the base method, nearest anchors (nearest first) with weights that sum to 1,
    and the cosine to the nearest."""

    log_odds: Float64[np.ndarray, " images"]
    anchors: Integer[np.ndarray, "images nearest"]
    weights: Float[np.ndarray, "images nearest"]
    cosines: Float[np.ndarray, " images"]

    def __len__(self) -> int:
        return len(self.log_odds)
