"""NegMining, NegLabel's criterion (ICLR 2024, arXiv 2403.20078, section 3.2; METHODS.md §3)."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

ELEMENTS_AT_ONCE = 2**22


def similarity_quantile(
    candidates: Float[Tensor, "candidates dim"], id_labels: Float[Tensor, "id_labels dim"], quantile: float
) -> Float[np.ndarray, " candidates"]:
    """The quantile (linear interpolation) of each candidate's cosines to all ID labels; lower = a better negative."""
    if not len(candidates):
        return np.empty(0)
    step = max(1, ELEMENTS_AT_ONCE // len(id_labels))
    parts = [torch.quantile(rows @ id_labels.T, quantile, dim=1) for rows in candidates.split(step)]
    return torch.cat(parts).double().cpu().numpy()


def keep_lowest(scores: Float[np.ndarray, " candidates"], fraction: float) -> Int[np.ndarray, " kept"]:
    """Indices of the lowest `fraction` of the scores (rounded down), lowest first, ties in the candidates' order."""
    return np.argsort(scores, kind="stable")[: int(len(scores) * fraction)]
