"""Softmax masses that do not saturate, and the one shape that scoring works in (METHODS.md §0)."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Float64
from torch import Tensor

BLOCK = 64
"""Images scored at once. BLAS picks its kernel by shape, so one shape keeps a row's last bits from its batch."""


def blocks(rows: Tensor, size: int) -> Iterator[tuple[Tensor, int]]:
    """Cut rows into blocks of exactly `size`, the last padded with zeros; yields each with its count of real rows."""
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        count = len(block)
        if count < size:
            block = torch.cat([block, block.new_zeros(size - count, *block.shape[1:])])
        yield block, count


def mass_outside_maximum(logits: Float[Tensor, "images labels"]) -> Float64[Tensor, " images"]:
    """1 - max softmax, summed from the other labels' terms, so precise near 0; higher = less certain."""
    exact = logits.double()
    maximum, index = exact.max(dim=1, keepdim=True)
    others = torch.exp(exact - maximum).scatter(1, index, 0.0).sum(dim=1)
    return others / (1.0 + others)


def grouped_negative_mass(
    id_logits: Float[Tensor, "images labels"],
    negative_logits: Float[Tensor, "images groups per_group"],
) -> Float64[Tensor, " images"]:
    """Softmax mass on the negatives, averaged over their groups; higher = more out-of-distribution.

    One minus NegLabel's score (arXiv 2403.20078, section 3.3; METHODS.md §3), from the float64 difference of float32
    log-sum-exps, so that scores whose float32 value is exactly 1 are still told apart.
    """
    id_log_mass = torch.logsumexp(id_logits, dim=1).double()
    negative_log_mass = torch.logsumexp(negative_logits, dim=2).double()
    return torch.sigmoid(negative_log_mass - id_log_mass[:, None]).mean(dim=1)
