"""Debiased negative mining's selection by density ("DNM", KDD 2026; METHODS.md §6)."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ood_core.numerics import blocks

ROWS_AT_ONCE, COLUMNS_AT_ONCE = 512, 4096
"""One shape for every product, so that a candidate's last bits do not depend on what is ranked beside it."""
SHORTEST = 1.001
"""d(a, a) = 2‖a‖ - 2 has no logarithm from ‖a‖ = 1 down; a little above that, rounding decides."""


@torch.inference_mode()
def mean_log_distance(
    rows: Float[Tensor, "rows dim"], candidates: Float[Tensor, "candidates dim"], neighbours: int
) -> Float[np.ndarray, " rows"]:
    """Mean log distance of each row to its nearest candidates; lower = denser = a better negative.

    `rows` are some of the `candidates` or all of them: features as the text encoder gives them, not of unit length.
    The distance is d_ab = ‖a‖ + ‖b‖ - 2·cos(a, b). The mean is over the `neighbours` + 1 smallest, or over all where
    there are fewer; a row is a candidate like the others there, and not always the nearest one to itself, as the norms
    count too. At most `COLUMNS_AT_ONCE` distances of `ROWS_AT_ONCE` rows exist at a time. Raises ValueError for a
    feature so short that a distance has no logarithm; with norms above 1 every distance is above 0.
    """
    if not len(rows):
        return np.empty(0)
    check_lengths(candidates)
    nearest = min(neighbours + 1, len(candidates))
    parts = [_smallest(block, candidates, nearest)[:count] for block, count in blocks(rows, ROWS_AT_ONCE)]
    return torch.cat(parts).double().log().mean(dim=1).cpu().numpy()


def check_lengths(features: Float[Tensor, "candidates dim"]) -> None:
    """Raises ValueError if there are features for which the distance is not defined."""
    shortest = float(features.norm(dim=1).min())
    if not shortest >= SHORTEST:
        raise ValueError(
            f"the density of text features is defined for lengths above 1, and the shortest here is {shortest:.4g}"
        )


def _smallest(rows: Tensor, candidates: Tensor, nearest: int) -> Float[Tensor, "rows nearest"]:
    """Each row's smallest distances, in ascending order."""
    lengths, directions = rows.norm(dim=1, keepdim=True), F.normalize(rows, dim=1)
    smallest = rows.new_empty(len(rows), 0)
    for other_lengths, other_directions, count in _columns(candidates):
        distances = lengths + other_lengths - 2 * (directions @ other_directions.T)
        seen = torch.cat([smallest, distances[:, :count]], dim=1)
        smallest = seen.topk(min(nearest, seen.shape[1]), dim=1, largest=False, sorted=True).values
    return smallest


def _columns(candidates: Tensor) -> Iterator[tuple[Tensor, Tensor, int]]:
    for block, count in blocks(candidates, COLUMNS_AT_ONCE):
        yield block.norm(dim=1), F.normalize(block, dim=1), count
