"""What the images of each anchor have come to, and the images that stand for it. Free of torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64

from pipelines.reports.anchors.stored import SCORE
from pipelines.scan_directory.columns import ANCHOR

EXAMPLES = 5
"""Images shown of an anchor."""


@dataclass(frozen=True)
class PerAnchor:
    """Of each anchor: of how many images it is the nearest, and the sums of these images' values, by column."""

    images: Int64[np.ndarray, " anchors"]
    sums: Mapping[str, Float64[np.ndarray, " anchors"]]

    @classmethod
    def of(cls, scored: Iterable[tuple[str, pa.Table]], columns: Sequence[str], anchors: int) -> "PerAnchor":
        """Of all images. `scored`: shard by shard, `SCORE` among the columns."""
        images, sums = np.zeros(anchors, np.int64), {name: np.zeros(anchors) for name in columns}
        for _, table in scored:
            nearest = table[ANCHOR].to_numpy()
            images += np.bincount(nearest, minlength=anchors)
            for name in columns:
                sums[name] += np.bincount(nearest, table[name].to_numpy(), anchors)
        return cls(images, sums)

    def lowest(self, top: int) -> list[int]:
        """The anchors of lowest mean score by consensus, of those that are an image's nearest; of equals the earlier
        one first."""
        there = np.flatnonzero(self.images)
        means = self.sums[SCORE][there] / self.images[there]
        return there[np.argsort(means, kind="stable")[:top]].tolist()

    def mean(self, column: str, anchor: int) -> float:
        return float(self.sums[column][anchor] / self.images[anchor])


@dataclass(frozen=True)
class Example:
    """An image, by its shard and its place in it."""

    key: str
    shard: str
    index: int
    score: float


def examples(
    scored: Iterable[tuple[str, pa.Table]], anchors: Sequence[int], most: int = EXAMPLES
) -> dict[int, list[Example]]:
    """Of each anchor so many images, those of lowest score by consensus; of equals the one of the earlier shard, then
    of the lower index, first. `scored`: shard by shard, with keys and indices."""
    kept: dict[int, list[Example]] = {anchor: [] for anchor in anchors}
    for shard, table in scored:
        best = table.take(_lowest(table, np.array(anchors, np.int64), most))
        columns = (best[name].to_pylist() for name in (ANCHOR, "key", "index", SCORE))
        for anchor, key, index, score in zip(*columns, strict=True):
            kept[anchor].append(Example(key, shard, index, score))
        kept = {anchor: sorted(found, key=lambda one: one.score)[:most] for anchor, found in kept.items()}
    return kept


def _lowest(scored: pa.Table, anchors: Int64[np.ndarray, " chosen"], most: int) -> Int64[np.ndarray, " rows"]:
    """The rows of each anchor's images of lowest score, by anchor, score and index."""
    of = scored[ANCHOR].to_numpy()
    rows = np.flatnonzero(np.isin(of, anchors))
    rows = rows[np.lexsort((scored["index"].to_numpy()[rows], scored[SCORE].to_numpy()[rows], of[rows]))]
    _, starts, counts = np.unique(of[rows], return_index=True, return_counts=True)
    return rows[np.arange(len(rows)) - np.repeat(starts, counts) < most]
