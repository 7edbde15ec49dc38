"""What the rows of each method's memory are, and how many images each holds. Free of torch."""

import numpy as np
from jaxtyping import Int

from ood_core.methods import AdaNeg, InterNeg

PROXY_IMAGES = 16
"""Images that stand for an ID label where the bank has none of its own; the paper labels as many."""


def adaneg_capacities(parameters: AdaNeg, labels: int) -> Int[np.ndarray, " labels"]:
    """A row a label, ID labels first; its text takes one place of the row's length."""
    return np.full(labels, parameters.memory_length - 1)


def interneg_capacities(parameters: InterNeg, id_labels: int, has_image_proxies: bool) -> Int[np.ndarray, " rows"]:
    """Row 0 for the images to invert; then a row an ID label, unless the bank knows what its images look like."""
    to_invert = parameters.max_inversions if parameters.inverts else 0
    return np.array([to_invert] + [PROXY_IMAGES] * (0 if has_image_proxies else id_labels))
