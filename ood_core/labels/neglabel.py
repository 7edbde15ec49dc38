"""NegMining, NegLabel's criterion (ICLR 2024, arXiv 2403.20078, section 3.2; METHODS.md §3)."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ood_core.numerics import Columns, blocks

CANDIDATES_AT_ONCE = 256
"""One shape for every product, so that a candidate's last bits do not depend on what is ranked beside it."""


@torch.inference_mode()
def similarity_quantile(
    candidates: Float[Tensor, "candidates dim"], id_labels: Float[Tensor, "id_labels dim"], quantile: float
) -> Float[np.ndarray, " candidates"]:
    """The quantile (linear interpolation) of each candidate's cosines to all ID labels; lower = a better negative."""
    if not len(candidates):
        return np.empty(0)
    columns = Columns(id_labels)
    parts = [
        torch.quantile(columns.products(block), quantile, dim=1)[:count]
        for block, count in blocks(candidates, CANDIDATES_AT_ONCE)
    ]
    return torch.cat(parts).double().cpu().numpy()
