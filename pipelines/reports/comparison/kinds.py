"""Kinds of images that are new: flagged tonight, and without a counterpart in the scan before. Free of torch."""

import numpy as np
from jaxtyping import Bool, Float32

from pipelines.reports.comparison.chance import RARE, chance_of_more
from pipelines.reports.ended import EndedScan
from pipelines.scan_directory.breakdown import KIND, NEGATIVE
from pipelines.scan_directory.kinds import Kind, kinds_of

AT_ONCE = 1024
ISOLATED = 0.01
"""An anchor has no counterpart if it is farther from all of the scan before than all but this share of these are from
each other."""
MORE = 4
"""A negative label has none if it has at least so many times the share of flagged images that it had before, and chance
does not explain that."""


def new_kinds(before: EndedScan, after: EndedScan, flags: str) -> list[Kind]:
    """The kinds that are flagged in `after` and new, those of most flagged images first.

    By nearest negative labels, and by anchors where both scans have some of one size. `flags`: the column of flags.
    """
    found = [*_by_negatives(before, after, flags), *_by_anchors(before, after, flags)]
    return sorted(found, key=lambda kind: -kind.flagged)


def without_counterpart(
    before: Float32[np.ndarray, "anchors dim"], after: Float32[np.ndarray, "others dim"]
) -> Bool[np.ndarray, " others"]:
    """Whether each of some anchors is farther from all anchors before than nearly all of these are from each other."""
    if len(before) < 2:
        return np.zeros(len(after), bool)
    usual = np.quantile(_nearest(before, before, own=True), ISOLATED)
    return _nearest(after, before) < usual


def _by_anchors(before: EndedScan, after: EndedScan, flags: str) -> list[Kind]:
    if before.anchors is None or after.anchors is None or before.anchors.shape[1] != after.anchors.shape[1]:
        return []
    kinds = kinds_of(after.tally.breakdown(), flags, None, KIND)
    alone = without_counterpart(before.anchors, after.anchors[[int(kind.value) for kind in kinds]])
    return [kind for kind, new in zip(kinds, alone.tolist(), strict=True) if new]


def _by_negatives(before: EndedScan, after: EndedScan, flags: str) -> list[Kind]:
    kinds, known = kinds_of(after.tally.breakdown(), flags, None, NEGATIVE), before.counts(NEGATIVE)
    images_before, images = before.tally.scored, after.tally.scored

    def is_new(kind: Kind) -> bool:
        flagged = known.get(kind.value, {}).get(flags, 0)
        by_chance = chance_of_more((flagged, images_before), (kind.flagged, images)) * len(kinds)
        return kind.flagged / images >= MORE * flagged / images_before and by_chance < RARE

    return [kind for kind in kinds if is_new(kind)]


def _nearest(some: np.ndarray, others: np.ndarray, own: bool = False) -> np.ndarray:
    """The cosine of each to the nearest of the others; `own`: these are the same, and none counts as its own."""
    found = np.empty(len(some), np.float32)
    for start in range(0, len(some), AT_ONCE):
        cosines = some[start : start + AT_ONCE] @ others.T
        if own:
            rows = np.arange(len(cosines))
            cosines[rows, start + rows] = -np.inf
        found[start : start + AT_ONCE] = cosines.max(axis=1)
    return found
