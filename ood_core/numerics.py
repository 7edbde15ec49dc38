"""Softmax masses that do not saturate, and the one shape that scoring works in (METHODS.md §0)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int
from torch import Tensor

BLOCK = 128
"""Images scored at once. BLAS picks its kernel by shape, so one shape keeps a row's last bits from its batch."""


def blocks(rows: Tensor, size: int) -> Iterator[tuple[Tensor, int]]:
    """Cut rows into blocks of exactly `size`, the last padded with zeros; yields each with its count of real rows."""
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        count = len(block)
        if count < size:
            block = torch.cat([block, block.new_zeros(size - count, *block.shape[1:])])
        yield block, count


class Columns:
    """Vectors that blocks of rows are multiplied with, padded with zeros to a multiple of 16.

    In a product with 5 to 11 columns the last bits of a row depend on its place in the block (measured with MKL); at
    multiples of 16 they never do. On a CPU the product is oneDNN's, which on AMD's is twice as fast as MKL's.
    """

    def __init__(self, vectors: Float[Tensor, "vectors dim"]) -> None:
        self.count = len(vectors)
        self.padded = F.pad(vectors, (0, 0, 0, -self.count % 16))
        self.by_onednn = self.count > 0 and vectors.device.type == "cpu" and torch.backends.mkldnn.is_available()

    def products(self, rows: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows vectors"]:
        """Dot products of every row with every vector."""
        if self.by_onednn:
            return F.linear(rows.to_mkldnn(), self.padded).to_dense()[:, : self.count]
        return F.linear(rows, self.padded)[:, : self.count]


@dataclass(frozen=True)
class Exponentials:
    """e^(logit - `maximum`) of every label, float32, and the largest logit, float64. Summed as often as is needed,
    computed once: the exponentials are what scoring costs beside the product with the labels."""

    terms: Float[Tensor, "images labels"]
    maximum: Float64[Tensor, " images"]

    @classmethod
    def of(cls, cosines: Float[Tensor, "images labels"], temperature: float) -> "Exponentials":
        maximum = cosines.amax(dim=1, keepdim=True)
        terms = cosines.sub(maximum).div_(temperature).exp_()
        return cls(terms, maximum[:, 0].double() / temperature)

    def log_mass(self) -> Float64[Tensor, " images"]:
        """log Σ e^logit over all labels."""
        return self.terms.sum(dim=1).double().log() + self.maximum

    def group_log_masses(self, groups: "Groups") -> Float64[Tensor, "images groups"]:
        """log Σ e^logit over each group of labels; -inf where float32 holds nothing beside the largest group's."""
        return groups.split(self.terms).sum(dim=2).double().log() + self.maximum[:, None]

    def but(self, kept: Float[Tensor, " labels"]) -> "Exponentials":
        """The exponentials with those of the labels where `kept` is 0 set to 0."""
        return Exponentials(self.terms * kept, self.maximum)


@dataclass(frozen=True)
class Groups:
    """Columns split into groups of one size. `columns` lists them group by group; None: the first ones, in order."""

    count: int
    per_group: int
    columns: Int[Tensor, " grouped"] | None = None

    @classmethod
    def of(cls, columns: Int[Tensor, "groups per_group"]) -> "Groups":
        """Groups of the given columns; if these are in order, they need not be gathered later."""
        in_order = torch.equal(columns.flatten().cpu(), torch.arange(columns.numel()))
        count, per_group = columns.shape
        return cls(count, per_group, None if in_order else columns.flatten())

    def split(self, terms: Float[Tensor, "images labels"]) -> Float[Tensor, "images groups per_group"]:
        grouped = self.count * self.per_group
        chosen = terms[:, :grouped] if self.columns is None else terms.index_select(1, self.columns)
        return chosen.reshape(len(terms), self.count, self.per_group)


def log_sum(*log_masses: Float64[Tensor, "..."]) -> Float64[Tensor, "..."]:
    """log of the sum of masses given by their logs; of nothing a number so low that it may still be subtracted."""
    return torch.stack(log_masses).logsumexp(dim=0).clamp_min(-1e30)


def mass_outside_maximum(logits: Float[Tensor, "images labels"]) -> Float64[Tensor, " images"]:
    """1 - max softmax, summed from the other labels' terms, so precise near 0; higher = less certain."""
    exact = logits.double()
    maximum, index = exact.max(dim=1, keepdim=True)
    others = torch.exp(exact - maximum).scatter(1, index, 0.0).sum(dim=1)
    return others / (1.0 + others)


def grouped_negative_mass(
    id_log_mass: Float64[Tensor, " images"], group_log_masses: Float64[Tensor, "images groups"]
) -> Float64[Tensor, " images"]:
    """Softmax mass on the negatives, averaged over their groups; higher = more out-of-distribution.

    One minus NegLabel's score (arXiv 2403.20078, section 3.3; METHODS.md §3), from the float64 difference of log
    masses, so that scores whose float32 value is exactly 1 are still told apart.
    """
    return torch.sigmoid(group_log_masses - id_log_mass[:, None]).mean(dim=1)
