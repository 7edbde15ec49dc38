"""What a scan's summary tells of verdicts: how many there are, by whom, what they move, and which contradict others."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.consensus.base import MOVED, Base
from ood_core.consensus.exact import floating
from ood_core.consensus.verdicts import BITS, PRIOR, SHARPNESS
from pipelines.consensus.files import ConsensusFiles
from pipelines.consensus.told import Told, votes_of_verdicts
from pipelines.scan_directory.layout import VERDICT_VOTES, read_table

SURE = 0.5
"""A verdict this far from undecided, of 1, contradicts what others say as surely of its place, and they it."""
LISTED = 50
"""Contradictions that the summary lists."""
ENOUGH, LARGE = 20, 500
"""Fewer verdicts, or images of the scan, and what is said of a few does as much harm as good (docs, Verdicts)."""


def verdict_summary(files: ConsensusFiles, base: Base, told: Told) -> dict[str, Any]:
    """`base`: that has taken them in."""
    votes, anchors = read_table(files.output, VERDICT_VOTES), files.anchors()
    raised, lowered = base.moved
    given = votes_of_verdicts(votes)
    looks = zip(given.anchors.tolist(), given.weights.tolist(), given.cosines.tolist(), strict=True)
    against = [] if anchors is None else contradictions(votes, anchors, told)
    return {
        "verdicts": len(votes),
        "scan_images": base.images,
        "images": len(set(map(repr, looks))),  # some have no place here: they are told apart by what they look like
        "by": dict(Counter(by or "" for by in votes["by"].to_pylist()).most_common()),
        "belong": int((votes["belongs"].to_numpy() > 0.5).sum()),
        "do_not_belong": int((votes["belongs"].to_numpy() < 0.5).sum()),
        "raised": raised,
        "lowered": lowered,
        "contradictions": against[:LISTED],
        "contradicted": len(against),
    }


def contradictions(votes: pa.Table, anchors: np.ndarray, told: Told) -> list[dict[str, Any]]:
    """The verdicts that say the opposite of what all others say of their image and of those like it, surest first.

    `others`: how probably it would belong by them.
    """
    given, belongs = votes_of_verdicts(votes), votes["belongs"].to_numpy()
    near, weights = anchors[given.anchors].astype(np.float64), given.weights.astype(np.float64)
    own = (weights[:, :, None] * np.exp(SHARPNESS * (near @ near.transpose(0, 2, 1) - 1))).sum(axis=1)
    said = 2 * belongs - 1
    left = np.maximum(floating(told.sums.weights[given.anchors], BITS) - own, 0)
    means = (floating(told.sums.beliefs[given.anchors], BITS) - own * said[:, None]) / (left + PRIOR)
    others = (weights * means).sum(axis=1)
    against = np.where((np.abs(said) >= SURE) & (np.abs(others) >= SURE), -said * others, 0.0)
    order = [row for row in np.argsort(-against, kind="stable").tolist() if against[row] > 0]
    rows = votes.select(["key", "shard", "index", "belongs", "by"]).take(pa.array(order, pa.int64())).to_pylist()
    return [{**row, "others": float(1 + others[place]) / 2} for row, place in zip(rows, order, strict=True)]


def verdict_remarks(learned: Mapping[str, Any]) -> Iterator[str]:
    """What the caller should know of the verdicts, a line each. `learned`: what the summary tells."""
    if found := learned.get("verdicts"):
        by = ", ".join(f"{count} by {who or 'somebody'}" for who, count in found["by"].items())
        yield (
            f"verdicts: {found['verdicts']} on {found['images']} images ({by}); they raise {found['raised']} and "
            f"lower {found['lowered']} images by {2 * MOVED:g} standard deviations or more"
        )
        if found["verdicts"] < ENOUGH:
            yield f"verdicts: {found['verdicts']} are few and may do harm; {ENOUGH} and more say something"
        if found["scan_images"] < LARGE:
            yield f"verdicts: among {found['scan_images']} images, what is said of one may be wrong of its neighbours"
        if found["contradicted"]:
            first = found["contradictions"][0]
            yield (
                f"verdicts: {found['contradicted']} say the opposite of what others say of images like theirs, "
                f"{first['key']!r} ({first['belongs']:g} by {first['by'] or 'somebody'}, {first['others']:.2f} by the "
                "others) first; summary.json lists them"
            )
