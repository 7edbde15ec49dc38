"""What verdicts say of a scan's anchors, and the tables that hold it."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from ood_core.consensus.exact import floating
from ood_core.consensus.verdicts import BITS, PRIOR, VerdictSums, spread_over
from ood_core.consensus.votes import Votes
from ood_core.vectors import vector_column, vectors_of
from pipelines.scan_directory.layout import VERDICTS_KEY

COUNT_KEY = b"oodscan.count"
"""Metadata of the table of sums: of how many verdicts they are."""
WHO = ("key", "shard", "index", "belongs", "by")
"""The columns of verdicts that the table of their votes has too."""


@dataclass(frozen=True)
class Told:
    """What verdicts say of each anchor. `by`: who has said most of it, null where little is said; `digest`: theirs."""

    sums: VerdictSums
    by: pa.Array
    digest: str

    @classmethod
    def nothing(cls, anchor_count: int) -> "Told":
        """What no verdicts say."""
        return cls(VerdictSums.nothing(anchor_count), pa.nulls(anchor_count, pa.string()), "")

    @classmethod
    def of(cls, votes: pa.Table, anchors: np.ndarray, digest: str) -> "Told":
        """`votes`: a table of `verdict_votes`; `anchors`: unit vectors."""
        belongs, found = votes["belongs"].to_numpy(), votes_of_verdicts(votes)
        sums = VerdictSums.nothing(len(anchors))
        most, first = np.zeros(len(anchors)), np.full(len(anchors), -1)
        for verdicts, places, spread in spread_over(found, anchors):
            sums.take(places, spread, belongs[verdicts])
            block, strongest = spread.max(axis=0), spread.argmax(axis=0) + verdicts.start
            more = block > most[places]
            most[places][more], first[places][more] = block[more], strongest[more]
        little = floating(sums.weights, BITS) < PRIOR
        return cls(
            replace(sums, count=len(votes)),
            votes["by"].combine_chunks().take(pa.array(first, mask=little | (first < 0))),
            digest,
        )

    def table(self) -> pa.Table:
        """One row for each anchor."""
        columns = {"anchor": pa.array(np.arange(len(self.by))), "weight": pa.array(self.sums.weights)}
        columns |= {"belief": pa.array(self.sums.beliefs), "by": self.by}
        return pa.table(columns, metadata={VERDICTS_KEY: self.digest, COUNT_KEY: str(self.sums.count)})


def told_of_table(table: pa.Table) -> Told:
    """What a table of `Told.table` holds. Raises KeyError or ValueError for another."""
    metadata = table.schema.metadata or {}
    sums = VerdictSums(int(metadata[COUNT_KEY]), table["weight"].to_numpy(), table["belief"].to_numpy())
    return Told(sums, table["by"].combine_chunks().cast(pa.string()), metadata[VERDICTS_KEY].decode())


def verdict_votes(verdicts: pa.Table, votes: Votes) -> pa.Table:
    """The votes of answered images on the anchors, beside what was said of them."""
    columns = {"anchors": vector_column(votes.anchors), "weights": vector_column(votes.weights)}
    table = verdicts.select(list(WHO))
    for name, values in {**columns, "cosine": pa.array(votes.cosines)}.items():
        table = table.append_column(name, values)
    return table


def votes_of_verdicts(table: pa.Table) -> Votes:
    """The votes in a table of `verdict_votes`."""
    anchors, weights = (vectors_of(table[name]) for name in ("anchors", "weights"))
    return Votes(np.zeros(len(table)), anchors, weights, table["cosine"].to_numpy())
