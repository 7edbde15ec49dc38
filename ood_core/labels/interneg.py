"""InterNeg's text criterion (CVPR 2026, arXiv 2603.02618; METHODS.md §8)."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from ood_core.labels.neglabel import CANDIDATES_AT_ONCE
from ood_core.numerics import Columns, blocks


class Margins(NamedTuple):
    """Of each candidate: whether it survives, and `excess`, its mean margin negated; lower = a better negative."""

    survives: Bool[np.ndarray, " candidates"]
    excess: Float[np.ndarray, " candidates"]


@torch.inference_mode()
def margins(
    candidates: Float[Tensor, "candidates dim"],
    id_labels: Float[Tensor, "id_labels dim"],
    image_embeddings: Float[Tensor, "id_labels dim"],
) -> Margins:
    """How much less similar to each class's images p_i a candidate y is than the class's own label e_i.

    The margin of class i is s(e_i, p_i) - s(y, p_i). A candidate survives if all its margins are above 0; `excess` is
    their negated mean.
    """
    if not len(candidates):
        return Margins(np.empty(0, bool), np.empty(0))
    columns = Columns(image_embeddings)
    own = _own_similarities(id_labels, columns)
    survives, excess = [], []
    for block, count in blocks(candidates, CANDIDATES_AT_ONCE):
        above = columns.products(block)[:count].double() - own
        survives.append((above < 0).all(dim=1))
        excess.append(above.mean(dim=1))
    return Margins(torch.cat(survives).cpu().numpy(), torch.cat(excess).cpu().numpy())


def _own_similarities(id_labels: Tensor, columns: Columns) -> Float64[Tensor, " id_labels"]:
    """s(e_i, p_i), by the very product that candidates go through: one that is the label itself has no margin."""
    parts = []
    for block, count in blocks(id_labels, CANDIDATES_AT_ONCE):
        rows = torch.arange(count, device=id_labels.device)
        parts.append(columns.products(block)[rows, CANDIDATES_AT_ONCE * len(parts) + rows])
    return torch.cat(parts).double()
