"""Votes and sums as tables."""

import json

import numpy as np
import pyarrow as pa

from ood_core.consensus.reference import ReferenceSums
from ood_core.consensus.sums import Sums
from ood_core.consensus.votes import LabelVotes, Votes
from ood_core.vectors import vector_column, vectors_of

TOTALS_KEY = b"oodscan.totals"
"""Metadata of a table of sums: what is summed over all images."""

LOG_ODDS, OTHER_LOG_ODDS = "log_odds", ("reference_log_odds", "verdicts_log_odds")
"""The columns of a table of votes that hold the log-odds of the first base; and of others, if methods have others."""
VOTE_COLUMNS = ("anchors", "weights", "cosine")
LABEL_COLUMNS = ("labels", "label_weights")
IN_REFERENCE = "in_reference"
"""The column that says whether an image is one of the reference's too."""


def votes_table(votes: Votes) -> pa.Table:
    """The votes as a table, one row an image."""
    lists = [vector_column(values) for values in (votes.anchors, votes.weights)]
    columns = {
        LOG_ODDS: pa.array(votes.log_odds),
        **dict(zip(VOTE_COLUMNS, [*lists, pa.array(votes.cosines)], strict=True)),
    }
    if votes.on_labels:
        both = votes.on_labels.labels, votes.on_labels.weights
        columns |= dict(zip(LABEL_COLUMNS, map(vector_column, both), strict=True))
    if votes.in_reference is not None:
        columns[IN_REFERENCE] = pa.array(votes.in_reference)
    return pa.table(columns)


def votes_of(table: pa.Table, log_odds: str = LOG_ODDS) -> Votes:
    """The votes in a table of them, with the log-odds of the column; rows without votes are left out."""
    table = table.filter(table[LOG_ODDS].is_valid()).combine_chunks()
    anchors, weights = (vectors_of(table[name]) for name in VOTE_COLUMNS[:2])
    on_labels = in_reference = None
    if LABEL_COLUMNS[0] in table.column_names:
        on_labels = LabelVotes(*(vectors_of(table[name]) for name in LABEL_COLUMNS))
    if IN_REFERENCE in table.column_names:
        in_reference = table[IN_REFERENCE].to_numpy()
    return Votes(table[log_odds].to_numpy(), anchors, weights, table["cosine"].to_numpy(), on_labels, in_reference)


def sums_table(sums: Sums) -> pa.Table:
    """The sums as a table: a row for each anchor or label, a column for each value that is summed."""
    columns = {f"value_{number}": pa.array(values) for number, values in enumerate(sums.anchors)}
    described = {"largest": sums.largest, "totals": {name: hex(total) for name, total in sums.totals.items()}}
    table = pa.table({"anchor": pa.array(np.arange(sums.anchors.shape[1])), **columns})
    return table.replace_schema_metadata({TOTALS_KEY: json.dumps(described)})


def sums_of(table: pa.Table) -> Sums:
    """The sums in a table of `sums_table`."""
    described = json.loads((table.schema.metadata or {})[TOTALS_KEY])
    values = [table[name].to_numpy() for name in table.column_names[1:]]
    anchors = np.stack(values) if values else np.zeros((0, len(table)), np.int64)
    return Sums({name: int(total, 16) for name, total in described["totals"].items()}, described["largest"], anchors)


def reference_table(sums: ReferenceSums, unusable: int) -> pa.Table:
    """The sums of a reference as a table of one row. `unusable`: how many of its images could not be read."""
    lists = {name: pa.array([getattr(sums, name)], pa.list_(pa.int64())) for name in ("anchors", "labels", "nearest")}
    return pa.table({"images": [sums.images], "unusable": [unusable], **lists})


def reference_of_table(table: pa.Table) -> tuple[ReferenceSums, int]:
    """The sums in a table of `reference_table`, and how many images could not be read."""
    (row,) = table.to_pylist()
    lists = (np.array(row[name], np.int64) for name in ("anchors", "labels", "nearest"))
    return ReferenceSums(row["images"], *lists), row["unusable"]
