"""Finds the anchors that images vote on (METHODS.md §10), and the ID labels (§10b)."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from ood_core.consensus.cells import MOST_CELLS, AnchorCells, CellSearch, Found
from ood_core.consensus.votes import LabelVotes, Votes
from ood_core.methods import Consensus
from ood_core.numerics import BLOCK, Columns, blocks

NEAREST_LABELS, LABEL_SHARPNESS = 5, 20.0
"""How many ID labels an image votes on, and how much sharper than its cosines."""
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

    `anchors`: unit vectors, or what `searchable` has made of them, which otherwise is made here; `labels`: those of the
    ID labels, where images are to vote on these too; `exact`: all anchors are compared, however many, for few images.
    """

    def __init__(
        self,
        anchors: Float32[np.ndarray, "anchors dim"] | AnchorCells,
        parameters: Consensus,
        device: str = "cpu",
        labels: Float32[np.ndarray, "labels dim"] | None = None,
        exact: bool = False,
    ) -> None:
        known = anchors if exact or isinstance(anchors, AnchorCells) else searchable(anchors, parameters, device)
        if isinstance(known, AnchorCells):
            self.nearest = parameters.nearest
            self.search = CellSearch(known, self.nearest)
        else:
            self.nearest = min(parameters.nearest, len(known))
            self.search = Comparison(torch.tensor(known, device=device), self.nearest)
        self.sharpness = parameters.sharpness
        self.labels = None
        if labels is not None:
            self.labels = Comparison(torch.tensor(labels, device=device), min(NEAREST_LABELS, len(labels)))

    @torch.inference_mode()
    def __call__(self, embeddings: Float[Tensor, "images dim"], log_odds: Float64[np.ndarray, " images"]) -> Votes:
        """The votes of images with unit embeddings."""
        anchors, weights, cosines = _found(self.search(embeddings), self.sharpness, len(embeddings), self.nearest)
        on_labels = None
        if self.labels:
            found = _found(self.labels(embeddings), LABEL_SHARPNESS, len(embeddings), self.labels.nearest)
            on_labels = LabelVotes(*found[:2])
        return Votes(log_odds, anchors, weights, cosines, on_labels)


def _found(found: Iterator[Found], sharpness: float, count: int, nearest: int) -> tuple[np.ndarray, ...]:
    """What `count` images have found: places, softmax weights, and the cosine to the nearest."""
    places = np.empty((count, nearest), np.int32)
    weights, closest = np.empty((count, nearest), np.float32), np.empty(count, np.float32)
    start = 0
    for cosines, of_images in found:
        rows = slice(start, start + len(cosines))
        places[rows] = of_images.cpu().numpy()
        weights[rows] = torch.softmax(cosines.double() * sharpness, dim=1).cpu().numpy()
        closest[rows] = cosines[:, 0].cpu().numpy()
        start += len(cosines)
    return places, weights, closest


class Comparison:
    """Compares images with all of some vectors. Of equal cosines the lower place comes first."""

    def __init__(self, vectors: Float32[Tensor, "vectors dim"], nearest: int) -> None:
        self.columns, self.nearest = Columns(vectors), nearest

    def __call__(self, rows: Float[Tensor, "images dim"]) -> Iterator[Found]:
        """What the rows find, in their order, a block at once."""
        for block, real in blocks(rows.to(self.columns.padded), BLOCK):
            cosines, places = largest(self.columns.products(block), self.nearest)
            yield cosines[:real], places[:real]


def largest(values: Float[Tensor, "rows columns"], count: int) -> Found:
    """The largest values of each row, falling, and their places; of equal values the first one."""
    found = values.topk(count, dim=1)
    beyond = (values >= found.values[:, -1:]).sum(dim=1) > count
    tied = (beyond | (found.values[:, 1:] == found.values[:, :-1]).any(dim=1)).nonzero()[:, 0]
    if not len(tied):
        return found.values, found.indices
    ordered = values[tied].sort(dim=1, descending=True, stable=True)
    return (
        found.values.index_copy(0, tied, ordered.values[:, :count]),
        found.indices.index_copy(0, tied, ordered.indices[:, :count]),
    )
