"""What a scan's consensus is made of, in storage: anchors, each image's votes, and the sums of every step."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ood_core.consensus.agreement import Agreement, Sums
from ood_core.consensus.votes import Votes
from ood_core.methods import Consensus
from pipelines.scan_directory.layout import (
    CONSENSUS,
    FINGERPRINT_KEY,
    VOTES,
    committed,
    parquet_of,
    part_name,
    table_of,
)
from pipelines.storage import Directory

ANCHORS, SUMS = f"{CONSENSUS}/anchors.parquet", f"{CONSENSUS}/sums-"
TOTALS_KEY = b"oodscan.totals"
SAID = ("log_odds", "anchors", "weights", "cosine")
"""The columns of a table of votes that votes are made of."""


def votes_table(votes: Votes) -> pa.Table:
    """A row for each image."""
    nearest = votes.anchors.shape[1]
    anchors, weights = pa.array(votes.anchors.reshape(-1)), pa.array(votes.weights.reshape(-1))
    lists = [pa.FixedSizeListArray.from_arrays(values, nearest) for values in (anchors, weights)]
    return pa.table([pa.array(votes.log_odds), *lists, pa.array(votes.cosines)], names=SAID)


def votes_of(table: pa.Table) -> Votes:
    """The inverse of `votes_table`; rows without votes are left out."""
    table = table.select(SAID).filter(table["log_odds"].is_valid()).combine_chunks()
    nearest = table.schema.field("anchors").type.list_size
    anchors, weights = (
        table[name].combine_chunks().flatten().to_numpy().reshape(-1, nearest) for name in ("anchors", "weights")
    )
    return Votes(table["log_odds"].to_numpy(), anchors, weights, table["cosine"].to_numpy())


def sums_table(sums: Sums) -> pa.Table:
    """A row for each anchor, a column for each value."""
    columns = {f"value_{number}": pa.array(values) for number, values in enumerate(sums.anchors)}
    described = {"largest": sums.largest, "totals": {name: hex(total) for name, total in sums.totals.items()}}
    table = pa.table({"anchor": pa.array(np.arange(sums.anchors.shape[1])), **columns})
    return table.replace_schema_metadata({TOTALS_KEY: json.dumps(described)})


def sums_of(table: pa.Table) -> Sums:
    """The inverse of `sums_table`."""
    described = json.loads((table.schema.metadata or {})[TOTALS_KEY])
    values = [table[name].to_numpy() for name in table.column_names[1:]]
    anchors = np.stack(values) if values else np.zeros((0, len(table)), np.int64)
    return Sums({name: int(total, 16) for name, total in described["totals"].items()}, described["largest"], anchors)


@dataclass(frozen=True)
class ConsensusFiles:
    """The folder `consensus/` of a scan. Votes go by the anchors, and sums by the votes of all shards."""

    output: Directory
    fingerprint: str

    def anchors(self) -> np.ndarray | None:
        """Unit vectors, [anchors, dim]; None if they are not there."""
        try:
            column = table_of(self.output.read(ANCHORS))["embedding"].combine_chunks()
        except FileNotFoundError:
            return None
        return column.flatten().to_numpy().reshape(len(column), -1)

    def put_anchors(self, anchors: np.ndarray) -> None:
        """Whatever went by other anchors must be gone."""
        values = pa.FixedSizeListArray.from_arrays(pa.array(anchors.reshape(-1)), anchors.shape[1])
        self._put(ANCHORS, pa.table({"anchor": pa.array(np.arange(len(anchors))), "embedding": values}))

    def voted(self) -> set[str]:
        """The shards whose votes are there."""
        return committed(self.output, VOTES)

    def votes(self, shard: str) -> pa.Table:
        """Raises FileNotFoundError."""
        return table_of(self.output.read(f"{VOTES}/{part_name(shard)}"))

    def put_sums(self, step: int, sums: Sums) -> None:
        self._put(f"{SUMS}{step}.parquet", sums_table(sums))

    def sums(self) -> Iterator[Sums]:
        """Of one step after another, as far as they are there."""
        step = 0
        while True:
            try:
                yield sums_of(table_of(self.output.read(f"{SUMS}{step}.parquet")))
            except FileNotFoundError:
                return
            step += 1

    def agreement(self, parameters: Consensus) -> Agreement | None:
        """How far the steps have come; None if none is done yet."""
        known = tuple(self.sums())
        return Agreement(parameters, known[0].anchors.shape[1], known) if known else None

    def clear(self) -> None:
        self.output.remove(CONSENSUS)

    def forget_sums(self) -> None:
        for name in self.output.names(CONSENSUS):
            if name.startswith(SUMS.rpartition("/")[2]):
                self.output.remove(f"{CONSENSUS}/{name}")

    def _put(self, name: str, table: pa.Table) -> None:
        metadata = {FINGERPRINT_KEY: self.fingerprint, **(table.schema.metadata or {})}
        self.output.put(name, parquet_of(table, metadata))
