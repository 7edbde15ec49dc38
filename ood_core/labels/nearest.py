"""The ID labels that a negative may be a subcategory of: the most similar ones (METHODS.md §5)."""

import numpy as np
import torch
from jaxtyping import Float, Int32
from torch import Tensor

from ood_core.labels.neglabel import CANDIDATES_AT_ONCE
from ood_core.numerics import Columns, blocks


@torch.inference_mode()
def nearest_labels(
    candidates: Float[Tensor, "candidates dim"], id_labels: Float[Tensor, "id_labels dim"], count: int
) -> Int32[np.ndarray, "candidates nearest"]:
    """The ID labels nearest to each candidate by cosine, `count` of them or all if there are fewer, nearest first.

    Both embedded without a prompt (NegRefine, arXiv 2507.09795). Of equally near labels the first comes first.
    """
    columns, count = Columns(id_labels), min(count, len(id_labels))
    found = [np.empty((0, count), np.int32)]
    for block, rows in blocks(candidates, CANDIDATES_AT_ONCE):
        order = columns.products(block)[:rows].argsort(dim=1, descending=True, stable=True)
        found.append(order[:, :count].int().cpu().numpy())
    return np.concatenate(found)
