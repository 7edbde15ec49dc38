"""Sums over the images of each anchor, and the images of lowest score by consensus. Free of torch.

The images of an anchor are those whose nearest anchor it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64

from pipelines.reports.anchors.stored import SCORE
from pipelines.scan_directory.columns import ANCHOR

EXAMPLES = 5
"""How many images are shown of an anchor."""


@dataclass(frozen=True)
class AnchorSums:
    """How many images each anchor has, and the sums of their values for each column of the score tables."""

    images: Int64[np.ndarray, " anchors"]
    sums: Mapping[str, Float64[np.ndarray, " anchors"]]

    @classmethod
    def of(cls, scored: Iterable[tuple[str, pa.Table]], columns: Sequence[str], anchors: int) -> "AnchorSums":
        """The sums over all images of a scan.

        `scored`: each shard's id and table of scored images; `columns`: what to sum, `SCORE` among them; `anchors`: how
        many there are.
        """
        images, sums = np.zeros(anchors, np.int64), {name: np.zeros(anchors) for name in columns}
        for _, table in scored:
            nearest = table[ANCHOR].to_numpy()
            images += np.bincount(nearest, minlength=anchors)
            for name in columns:
                sums[name] += np.bincount(nearest, table[name].to_numpy(), anchors)
        return cls(images, sums)

    def lowest(self, top: int) -> list[int]:
        """The `top` anchors of lowest mean score by consensus, lowest first; of equal ones the earlier first.

        Anchors without images are left out.
        """
        with_images = np.flatnonzero(self.images)
        means = self.sums[SCORE][with_images] / self.images[with_images]
        return with_images[np.argsort(means, kind="stable")[:top]].tolist()

    def mean(self, column: str, anchor: int) -> float:
        """The mean of a column over the images of an anchor, which must have some."""
        return float(self.sums[column][anchor] / self.images[anchor])


@dataclass(frozen=True)
class Example:
    """An image with its score by consensus; higher = more in-distribution. `index`: its place in the shard."""

    key: str
    shard: str
    index: int
    score: float


def lowest_images(
    scored: Iterable[tuple[str, pa.Table]], anchors: Sequence[int], most: int = EXAMPLES
) -> dict[int, list[Example]]:
    """For each of the anchors, up to `most` of its images of lowest score by consensus, lowest first.

    Of images with the same score the one of the earlier shard, then of the lower index, comes first. `scored`: each
    shard's id and table of scored images, with keys and indices.
    """
    kept: dict[int, list[Example]] = {anchor: [] for anchor in anchors}
    for shard, table in scored:
        best = table.take(_lowest_rows(table, np.array(anchors, np.int64), most))
        columns = (best[name].to_pylist() for name in (ANCHOR, "key", "index", SCORE))
        for anchor, key, index, score in zip(*columns, strict=True):
            kept[anchor].append(Example(key, shard, index, score))
        kept = {anchor: sorted(found, key=lambda one: one.score)[:most] for anchor, found in kept.items()}
    return kept


def _lowest_rows(scored: pa.Table, anchors: Int64[np.ndarray, " chosen"], most: int) -> Int64[np.ndarray, " rows"]:
    """The rows of a table with the `most` images of lowest score of each anchor, by anchor, score and index."""
    nearest = scored[ANCHOR].to_numpy()
    rows = np.flatnonzero(np.isin(nearest, anchors))
    rows = rows[np.lexsort((scored["index"].to_numpy()[rows], scored[SCORE].to_numpy()[rows], nearest[rows]))]
    _, starts, counts = np.unique(nearest[rows], return_index=True, return_counts=True)
    rank = np.arange(len(rows)) - np.repeat(starts, counts)
    return rows[rank < most]
