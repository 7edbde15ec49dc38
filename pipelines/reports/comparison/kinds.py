"""Kinds of images that are new: flagged tonight, and without a counterpart in the scan before. Free of torch."""

import numpy as np
from jaxtyping import Float32

from pipelines.reports.ended import EndedScan
from pipelines.scan_directory.breakdown import KIND, NEGATIVE
from pipelines.scan_directory.columns import flag_column
from pipelines.scan_directory.kinds import Kind, kind_by, kinds_of

AT_ONCE = 1024
ISOLATED = 0.01
"""An anchor has no counterpart if it is farther from all of the scan before than all but this share of these are from
each other."""
MORE = 4
"""A negative label has none if it has at least so many times the share of flagged images that it had before."""


def new_kinds(before: EndedScan, after: EndedScan) -> list[Kind]:
    """The kinds that are flagged in `after` and new, those of most flagged images first.

    By anchors where both scans have some of one size, else by nearest negative labels.
    """
    flags, anchors = flag_column(after.deciding), (before.anchors, after.anchors)
    by_anchors = kind_by(after.tally.breakdown()) == KIND
    if not by_anchors or anchors[0] is None or anchors[1] is None or anchors[0].shape[1] != anchors[1].shape[1]:
        return _by_negatives(before, after)
    kinds = kinds_of(after.tally.breakdown(), flags, None)
    alone = without_counterpart(anchors[0], anchors[1][[int(kind.value) for kind in kinds]])
    return [kind for kind, new in zip(kinds, alone.tolist(), strict=True) if new]


def without_counterpart(
    before: Float32[np.ndarray, "anchors dim"], after: Float32[np.ndarray, "others dim"]
) -> np.ndarray:
    """Whether each of some anchors is farther from all anchors before than nearly all of these are from each other."""
    if len(before) < 2:
        return np.zeros(len(after), bool)
    usual = np.quantile(_nearest(before, before, own=True), ISOLATED)
    return _nearest(after, before) < usual


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


def _by_negatives(before: EndedScan, after: EndedScan) -> list[Kind]:
    known, flags = before.counts(NEGATIVE), flag_column(before.deciding)

    def usual(kind: Kind) -> float:
        return known.get(kind.value, {}).get(flags, 0) / max(before.tally.scored, 1)

    kinds = kinds_of(after.tally.breakdown(), flag_column(after.deciding), None, NEGATIVE)
    return [kind for kind in kinds if kind.flagged and kind.flagged / after.tally.scored >= MORE * usual(kind)]
