"""Checks a scan's verdicts: works out once more what they say of the anchors, and compares with what is recorded."""

import numpy as np
import pyarrow as pa

from pipelines.consensus.told import Told, told_of_table, votes_of_verdicts
from pipelines.errors import CallerError, first_line
from pipelines.scan_directory.layout import KEPT_VERDICTS, VERDICT_SUMS, VERDICT_VOTES
from pipelines.verdicts.kept import kept_verdicts
from pipelines.verify.tables import Inspection, UnfitError, required, vectors

SUMS_COLUMNS = pa.schema(
    [*required(anchor=pa.int64(), weight=pa.int64(), belief=pa.int64()), pa.field("by", pa.string())]
)
VOTE_COLUMNS = pa.schema(
    [
        pa.field("key", pa.string()),
        pa.field("shard", pa.string()),
        pa.field("index", pa.int64()),
        *required(belongs=pa.float64()),
        pa.field("by", pa.string()),
        *required(anchors=vectors(pa.int32()), weights=vectors(pa.float32()), cosine=pa.float32()),
    ]
)
ROUNDING = 4
"""Sums may differ by so many units for each verdict where another processor has multiplied."""


def recorded_told(found: Inspection, anchors: np.ndarray) -> Told | None:
    """What the verdicts say of the anchors; None, which is a problem, if it is damaged or not what their votes make."""
    sums, votes = found.table(VERDICT_SUMS, SUMS_COLUMNS), found.table(VERDICT_VOTES, VOTE_COLUMNS)
    if sums is None:
        return None
    with found.checking(VERDICT_SUMS):
        told = told_of_table(sums)
        if sums["anchor"].to_pylist() != list(range(len(anchors))):
            raise UnfitError("the anchors are not 0, 1, 2, … in order")
        if votes is not None:
            _compare(found, told, votes, anchors)
        check_kept(found, told, anchors.shape[1])
        return told
    return None


def check_kept(found: Inspection, told: Told | None, dim: int) -> None:
    """Notes it if the scan keeps other verdicts than its scores take in, or files that are none. `told`: None if these
    take none in."""
    try:
        kept = kept_verdicts(found.output, dim)
    except CallerError as error:
        found.problems.append(f"{KEPT_VERDICTS}/ is damaged: {first_line(error)}")
        return
    if (kept.digest if kept else None) != (told.digest if told else None):
        found.problems.append(f"{KEPT_VERDICTS}/ holds other verdicts than scores take in: oodscan verdicts SCAN")


def _compare(found: Inspection, told: Told, votes: pa.Table, anchors: np.ndarray) -> None:
    with found.checking(VERDICT_VOTES):
        given = votes_of_verdicts(votes)
        if len(given) and not 0 <= given.anchors.min() <= given.anchors.max() < len(anchors):
            raise UnfitError("there are votes on anchors that there are not")
        belongs = votes["belongs"].to_numpy()
        if not ((belongs >= 0) & (belongs <= 1)).all():
            raise UnfitError("there are verdicts that are not from 0 to 1")
        made = Told.of(votes, anchors, told.digest)
        unlike = [
            np.abs(getattr(made.sums, name) - getattr(told.sums, name)).max(initial=0) > ROUNDING * len(votes)
            for name in ("weights", "beliefs")
        ]
        if made.sums.count != told.sums.count or any(unlike) or made.by != told.by:
            raise UnfitError(f"it is not what {VERDICT_SUMS} was made from")
