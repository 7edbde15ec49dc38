"""CSP's criterion (NeurIPS 2024, arXiv 2410.08611; METHODS.md §4)."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ood_core.labels.neglabel import CANDIDATES_AT_ONCE
from ood_core.numerics import Columns, blocks

TOO_SIMILAR = 0.95
"""A candidate more similar than this to an ID label says the same thing, and is ranked behind all others."""


@torch.inference_mode()
def capped_maximum_similarity(
    candidates: Float[Tensor, "candidates dim"], id_labels: Float[Tensor, "id_labels dim"]
) -> Float[np.ndarray, " candidates"]:
    """Each candidate's largest cosine to an ID label, 1.0 if above `TOO_SIMILAR`; lower = a better negative."""
    if not len(candidates):
        return np.empty(0)
    columns = Columns(id_labels)
    parts = [columns.products(block).amax(dim=1)[:count] for block, count in blocks(candidates, CANDIDATES_AT_ONCE)]
    largest = torch.cat(parts).double().cpu().numpy()
    return np.where(largest > TOO_SIMILAR, 1.0, largest)
