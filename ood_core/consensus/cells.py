"""Many anchors in cells of neighbours, of which an image looks into the nearest alone (an inverted file).

The nearest anchors are found among some thousands of candidates, whose cosines are computed as exactly as all would be.
Everything is a product of one fixed shape a cell, so what a row finds depends on that row alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from ood_core.numerics import BLOCK, Columns, blocks

ROUNDS, SEED = 2, 0
"""Of k-means, on the anchors."""
CANDIDATES, MARGIN = 5120, 0.12
"""Anchors that an image is compared with before it looks into no further cell, and how much farther than the nearest
centre, as a cosine, the centre of a cell may be that it looks into."""
MOST_CELLS = 64
"""That an image looks into; each has an anchor, so that many are found at least."""
ROWS, CELL_BLOCK = 4096, 64
"""Images that look at once, and how many of them a product in a cell has."""

Found = tuple[Float[Tensor, "images nearest"], Int64[Tensor, "images nearest"]]
"""Cosines, falling, and places of anchors."""


def cell_count(anchors: int) -> int:
    """The number of cells for so many anchors."""
    return min(round(4 * anchors**0.5), anchors)


@dataclass(frozen=True)
class AnchorCells:
    """Anchors in cells by k-means, about √anchors / 4 in each. Costly to make, and may be sent to workers.

    `order`: the anchors' places, cell by cell, rising within one; `sizes`: of the cells, none empty.
    """

    anchors: Float32[np.ndarray, "anchors dim"]
    centres: Float32[np.ndarray, "cells dim"]
    order: Int64[np.ndarray, " anchors"]
    sizes: Int64[np.ndarray, " cells"]

    @classmethod
    def of(cls, anchors: Float32[np.ndarray, "anchors dim"]) -> "AnchorCells":
        """Cells of unit vectors: the same for the same anchors, whatever the number of threads."""
        count = cell_count(len(anchors))
        starts = np.random.default_rng(SEED).choice(len(anchors), count, replace=False)
        centres, rows = anchors[np.sort(starts)], torch.tensor(anchors)
        for _ in range(ROUNDS):
            centres = mean_directions(anchors, _nearest_centre(rows, centres))
        cells = _nearest_centre(rows, centres)
        used, sizes = np.unique(cells, return_counts=True)
        return cls(anchors, centres[used], np.argsort(cells, kind="stable"), sizes)


class CellSearch:
    """Looks for the `nearest` anchors of images, `MOST_CELLS` at most."""

    def __init__(self, cells: AnchorCells, nearest: int) -> None:
        if nearest > MOST_CELLS:
            raise ValueError(f"{nearest} anchors an image are more than the {MOST_CELLS} cells that it looks into")
        self.nearest = nearest
        self.centres = Columns(torch.tensor(cells.centres))
        self.sizes = torch.tensor(cells.sizes)
        self.places = torch.tensor(cells.order).split(cells.sizes.tolist())
        self.columns = [Columns(torch.tensor(cells.anchors[places.numpy()])) for places in self.places]

    def __call__(self, rows: Float[Tensor, "images dim"]) -> Iterator[Found]:
        """What the rows find, in their order, some thousands at once."""
        for start in range(0, len(rows), ROWS):
            yield self._found(rows[start : start + ROWS].float())

    def _found(self, rows: Float32[Tensor, "images dim"]) -> Found:
        looks = self._looks(rows)
        products = [_products(self.columns[cell], rows[looks.images[span]], CELL_BLOCK) for cell, span in looks.spans]
        # The nearest anchors lie in those cells whose own nearest are the nearest.
        slots = looks.slots(torch.cat([cosines.amax(dim=1) for cosines in products]), self.nearest)
        found = torch.full((len(rows), self.nearest, self.nearest), -torch.inf)
        places = torch.zeros(found.shape, dtype=torch.int64)
        for (cell, span), cosines in zip(looks.spans, products, strict=True):
            kept = (slots[span] >= 0).nonzero()[:, 0]
            if len(kept):
                best = cosines[kept].topk(min(self.nearest, cosines.shape[1]), dim=1)
                into = looks.images[span][kept], slots[span][kept]
                found[*into, : best.values.shape[1]] = best.values
                places[*into, : best.values.shape[1]] = self.places[cell][best.indices]
        nearest = found.flatten(1).topk(self.nearest, dim=1)
        return nearest.values, places.flatten(1).gather(1, nearest.indices)

    def _looks(self, rows: Float32[Tensor, "images dim"]) -> "Looks":
        """Which cells the rows look into: the nearest, within limits, but as many anchors as are asked for."""
        most = min(MOST_CELLS, self.centres.count)
        found = [(self.centres.products(block).topk(most, dim=1), real) for block, real in blocks(rows, BLOCK)]
        cosines = torch.cat([near.values[:real] for near, real in found])
        near = torch.cat([near.indices[:real] for near, real in found])
        sizes = self.sizes[near]
        before = sizes.cumsum(dim=1) - sizes
        within = (before < CANDIDATES) & (cosines >= cosines[:, :1] - MARGIN)
        return Looks.of(near, within | (before < self.nearest))


@dataclass(frozen=True)
class Looks:
    """Pairs of an image and a cell that it looks into, cell by cell.

    `pairs`: their places in a table of images by ranks of cells; `images`: their rows; `spans`: cells and their pairs.
    """

    table: tuple[int, int]
    pairs: Int64[Tensor, " looks"]
    images: Int64[Tensor, " looks"]
    spans: list[tuple[int, slice]]

    @classmethod
    def of(cls, near: Int64[Tensor, "images ranks"], looked: Bool[Tensor, "images ranks"]) -> "Looks":
        """Of the cells by rank, those that are looked into."""
        pairs = looked.flatten().nonzero()[:, 0].numpy()
        cells = near.flatten().numpy()[pairs]
        by_cell = np.argsort(cells.astype(np.uint16 if near.max() < 2**16 else np.int64), kind="stable")
        used, firsts = np.unique(cells[by_cell], return_index=True)
        ends = [*firsts[1:].tolist(), len(cells)]
        spans = [(cell, slice(*span)) for cell, *span in zip(used.tolist(), firsts.tolist(), ends, strict=True)]
        ordered = torch.from_numpy(pairs[by_cell])
        return cls((near.shape[0], near.shape[1]), ordered, ordered // near.shape[1], spans)

    def slots(self, values: Float[Tensor, " looks"], count: int) -> Int64[Tensor, " looks"]:
        """The ranks, from 0, of the `count` largest values of each image; -1 for the others."""
        table = torch.full(self.table, -torch.inf)
        table.view(-1)[self.pairs] = values
        largest = table.topk(min(count, self.table[1]), dim=1).indices
        ranks = torch.full(self.table, -1)
        ranks.scatter_(1, largest, torch.arange(largest.shape[1]).expand_as(largest))
        return ranks.view(-1)[self.pairs]


def _products(columns: Columns, rows: Float32[Tensor, "rows dim"], size: int) -> Float[Tensor, "rows vectors"]:
    """Dot products, in blocks of one shape."""
    return torch.cat([columns.products(block)[:real] for block, real in blocks(rows, size)])


def _nearest_centre(
    rows: Float32[Tensor, "rows dim"], centres: Float32[np.ndarray, "cells dim"]
) -> Int64[np.ndarray, " rows"]:
    columns = Columns(torch.tensor(centres))
    nearest = [columns.products(block).argmax(dim=1)[:real] for block, real in blocks(rows, BLOCK)]
    return torch.cat(nearest).numpy()


def mean_directions(
    vectors: Float32[np.ndarray, "vectors dim"], cells: Int64[np.ndarray, " vectors"]
) -> Float32[np.ndarray, "cells dim"]:
    """Unit vectors in the direction of each cell's mean, of those cells that hold anything."""
    order = np.argsort(cells, kind="stable")
    _, firsts = np.unique(cells[order], return_index=True)
    sums = np.add.reduceat(vectors[order].astype(np.float64), firsts, axis=0)
    return (sums / np.linalg.norm(sums, axis=1, keepdims=True).clip(1e-12)).astype(np.float32)
