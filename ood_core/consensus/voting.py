"""Finds the anchors that images vote on (METHODS.md §10)."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from ood_core.consensus.cells import MOST_CELLS, AnchorCells, CellSearch, Found
from ood_core.consensus.votes import Votes
from ood_core.methods import Consensus
from ood_core.numerics import BLOCK, Columns, blocks

ALL_COMPARED = 16_384
"""As many anchors, and fewer, are all compared with each image; of more a CPU looks into the nearest cells."""


def searchable(
    anchors: Float32[np.ndarray, "anchors dim"], parameters: Consensus, device: str = "cpu"
) -> Float32[np.ndarray, "anchors dim"] | AnchorCells:
    """What `Voting` searches: cells if there are many anchors, costly to make and the same for all workers."""
    in_cells = len(anchors) > ALL_COMPARED and parameters.nearest <= MOST_CELLS and torch.device(device).type == "cpu"
    return AnchorCells.of(anchors) if in_cells else anchors


class Voting:
    """Finds the nearest anchors of images, in blocks of one shape, so that a row's votes are its own image's alone.

    `anchors`: unit vectors, or what `searchable` has made of them, which otherwise is made here.
    """

    def __init__(
        self, anchors: Float32[np.ndarray, "anchors dim"] | AnchorCells, parameters: Consensus, device: str = "cpu"
    ) -> None:
        known = anchors if isinstance(anchors, AnchorCells) else searchable(anchors, parameters, device)
        if isinstance(known, AnchorCells):
            self.nearest = parameters.nearest
            self.search = CellSearch(known, self.nearest)
        else:
            self.nearest = min(parameters.nearest, len(known))
            self.search = Comparison(torch.tensor(known, device=device), self.nearest)
        self.sharpness = parameters.sharpness

    @torch.inference_mode()
    def __call__(self, embeddings: Float[Tensor, "images dim"], log_odds: Float64[np.ndarray, " images"]) -> Votes:
        """The votes of images with unit embeddings."""
        count = len(embeddings)
        anchors = np.empty((count, self.nearest), np.int32)
        weights, closest = np.empty((count, self.nearest), np.float32), np.empty(count, np.float32)
        start = 0
        for cosines, places in self.search(embeddings):
            shares = torch.softmax(cosines.double() * self.sharpness, dim=1)
            rows = slice(start, start + len(cosines))
            anchors[rows], weights[rows] = places.cpu().numpy(), shares.cpu().numpy()
            closest[rows] = cosines[:, 0].cpu().numpy()
            start += len(cosines)
        return Votes(log_odds, anchors, weights, closest)


class Comparison:
    """Compares images with all anchors."""

    def __init__(self, anchors: Float32[Tensor, "anchors dim"], nearest: int) -> None:
        self.columns, self.nearest = Columns(anchors), nearest

    def __call__(self, rows: Float[Tensor, "images dim"]) -> Iterator[Found]:
        """What the rows find, in their order, a block at once."""
        for block, real in blocks(rows.to(self.columns.padded), BLOCK):
            cosines, places = self.columns.products(block).topk(self.nearest, dim=1)
            yield cosines[:real], places[:real]
