"""The votes of images on anchors (METHODS.md §10), and on ID labels (§10b). Free of torch."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Integer


@dataclass(frozen=True)
class LabelVotes:
    """Votes of some images: the nearest ID labels, nearest first, with weights that sum to 1."""

    labels: Integer[np.ndarray, "images nearest"]
    weights: Float[np.ndarray, "images nearest"]

    @property
    def nearest(self) -> Integer[np.ndarray, " images"]:
        """Each image's nearest ID label."""
        return self.labels[:, 0]


@dataclass(frozen=True)
class Votes:
    """Votes of some images: log-odds of the base method, nearest anchors (nearest first) with weights that sum to 1,
    and the cosine to the nearest. `on_labels`: where a reference or crowding asks for them; `in_reference`: which of
    the images are among the reference's, where there is one and somebody has looked; `among`: whether they are images
    of the scan, each of which is left out where its neighbours are looked at."""

    log_odds: Float64[np.ndarray, " images"]
    anchors: Integer[np.ndarray, "images nearest"]
    weights: Float[np.ndarray, "images nearest"]
    cosines: Float[np.ndarray, " images"]
    on_labels: LabelVotes | None = None
    in_reference: Bool[np.ndarray, " images"] | None = None
    among: bool = True

    def __len__(self) -> int:
        return len(self.log_odds)

    @property
    def label_votes(self) -> LabelVotes:
        """The votes on ID labels. Raises ValueError if there are none."""
        if self.on_labels is None:
            raise ValueError("these images have not voted on labels")
        return self.on_labels
