"""Checks a scan's reference: sums up its images' votes once more, and compares with what is recorded."""

from functools import reduce
from operator import add

import numpy as np
import pyarrow as pa

from ood_core.consensus.reference import ReferenceSums
from pipelines.consensus.tables import LABEL_COLUMNS, reference_of_table, votes_of
from pipelines.scan_directory.layout import REFERENCE_SUMS, REFERENCE_VOTES, committed, shard_file
from pipelines.verify.tables import Inspection, UnfitError, required, vectors

SUMS_COLUMNS = pa.schema(
    required(
        images=pa.int64(),
        unusable=pa.int64(),
        **dict.fromkeys(("anchors", "labels", "nearest"), pa.list_(pa.int64())),
    )
)
VOTE_COLUMNS = pa.schema(
    [
        *required(shard=pa.string(), index=pa.int64()),
        pa.field("log_odds", pa.float64()),
        pa.field("anchors", vectors(pa.int32())),
        pa.field("weights", vectors(pa.float32())),
        pa.field("cosine", pa.float32()),
        pa.field(LABEL_COLUMNS[0], vectors(pa.int32())),
        pa.field(LABEL_COLUMNS[1], vectors(pa.float32())),
        pa.field("hash", pa.uint64()),
    ]
)


def recorded_reference(found: Inspection, anchor_count: int, label_count: int) -> ReferenceSums | None:
    """The recorded sums of the reference; None, which is a problem, if they are damaged or not what the votes make."""
    table = found.table(REFERENCE_SUMS, SUMS_COLUMNS)
    if table is None:
        return None
    with found.checking(REFERENCE_SUMS):
        sums, unusable = reference_of_table(table)
        if (len(sums.anchors), len(sums.labels), len(sums.nearest)) != (anchor_count, label_count, label_count):
            raise UnfitError("it is of other anchors or labels")
        parts = [_part(found, shard, sums) for shard in sorted(committed(found.output, REFERENCE_VOTES))]
        whole = [part for part in parts if part is not None]
        if len(whole) == len(parts):
            nothing = np.zeros(anchor_count, np.int64), *[np.zeros(label_count, np.int64)] * 2
            made = reduce(add, (part for part, _ in whole), ReferenceSums(0, *nothing))
            if not _same(made, sums) or unusable != sum(count for _, count in whole):
                raise UnfitError(f"it is not what {REFERENCE_VOTES}/ comes to")
        return sums
    return None


def _part(found: Inspection, shard: str, of_all: ReferenceSums) -> tuple[ReferenceSums, int] | None:
    """The sums of a shard of the reference, and how many of its images have not voted."""
    name = shard_file(REFERENCE_VOTES, shard)
    table = found.table(name, VOTE_COLUMNS)
    if table is None:
        return None
    with found.checking(name):
        if set(table["shard"].to_pylist()) - {shard} or table["index"].to_pylist() != list(range(len(table))):
            raise UnfitError("the rows are not those of its shard, in order")
        votes = votes_of(table)
        if len(votes) and not 0 <= votes.anchors.min() <= votes.anchors.max() < len(of_all.anchors):
            raise UnfitError("there are votes on anchors that there are not")
        labels = votes.label_votes.labels
        if len(votes) and not 0 <= labels.min() <= labels.max() < len(of_all.labels):
            raise UnfitError("there are votes on labels that there are not")
        return ReferenceSums.of(votes, len(of_all.anchors), len(of_all.labels)), len(table) - len(votes)
    return None


def _same(one: ReferenceSums, other: ReferenceSums) -> bool:
    return one.images == other.images and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("anchors", "labels", "nearest")
    )
