"""A scan's consensus in storage: the anchors, each image's votes, and the sums of every round."""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ood_core.consensus.agreement import Agreement, Sums
from ood_core.consensus.votes import Votes
from ood_core.methods import Consensus, consensus_of
from ood_core.vectors import vector_column, vectors_of
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.inputs.plan import Shard
from pipelines.scan_directory.layout import (
    ANCHORS,
    CONSENSUS,
    FINGERPRINT_KEY,
    SUMS,
    VOTES,
    committed,
    read_table,
    shard_file,
    table_bytes,
)
from pipelines.storage import Directory

TOTALS_KEY = b"oodscan.totals"
"""Metadata of a table of sums: what is summed over all images."""

VOTE_COLUMNS = ("log_odds", "anchors", "weights", "cosine")
"""The columns of `Votes` in a table of votes."""


def votes_table(votes: Votes) -> pa.Table:
    """The votes as a table, one row an image."""
    lists = [vector_column(values) for values in (votes.anchors, votes.weights)]
    return pa.table([pa.array(votes.log_odds), *lists, pa.array(votes.cosines)], names=VOTE_COLUMNS)


def votes_of(table: pa.Table) -> Votes:
    """The votes in a table of them; rows without votes are left out."""
    table = table.select(VOTE_COLUMNS).filter(table["log_odds"].is_valid()).combine_chunks()
    anchors, weights = (vectors_of(table[name]) for name in ("anchors", "weights"))
    return Votes(table["log_odds"].to_numpy(), anchors, weights, table["cosine"].to_numpy())


def sums_table(sums: Sums) -> pa.Table:
    """The sums as a table: a row for each anchor, a column for each value that is summed."""
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


@dataclass(frozen=True)
class ConsensusFiles:
    """The folder `consensus/` of a scan. Votes depend on the anchors, and sums on the votes of all shards."""

    output: Directory
    fingerprint: str

    def anchors(self) -> np.ndarray | None:
        """The anchors, unit vectors [anchors, dim]; None if they are not there."""
        try:
            return vectors_of(read_table(self.output, ANCHORS)["embedding"])
        except FileNotFoundError:
            return None

    def put_anchors(self, anchors: np.ndarray) -> None:
        """Writes the anchors. Votes and sums of other anchors must be gone."""
        columns = {"anchor": pa.array(np.arange(len(anchors))), "embedding": vector_column(anchors)}
        self._put(ANCHORS, pa.table(columns))

    def voted(self) -> set[str]:
        """The ids of the shards whose votes are there."""
        return committed(self.output, VOTES)

    def votes(self, shard: str) -> pa.Table:
        """A shard's table of votes, one row a record. Raises FileNotFoundError if there is none."""
        return read_table(self.output, shard_file(VOTES, shard))

    def put_sums(self, number: int, sums: Sums) -> None:
        """Writes the sums of a round, the first of which is number 0."""
        self._put(sums_file(number), sums_table(sums))

    def sums(self) -> Iterator[Sums]:
        """The sums of one round after another, as far as they are there."""
        for number in itertools.count():
            try:
                yield sums_of(read_table(self.output, sums_file(number)))
            except FileNotFoundError:
                return

    def agreement(self, parameters: Consensus) -> Agreement | None:
        """What the sums have come to so far; None if there are none yet."""
        known = tuple(self.sums())
        return Agreement(parameters, known[0].anchors.shape[1], known) if known else None

    def clear(self) -> None:
        """Removes all of it."""
        self.output.remove(CONSENSUS)

    def remove_sums(self) -> None:
        """Removes the sums of all rounds."""
        for name in self.output.names(CONSENSUS):
            if name.startswith(SUMS.rpartition("/")[2]):
                self.output.remove(f"{CONSENSUS}/{name}")

    def _put(self, name: str, table: pa.Table) -> None:
        metadata = {FINGERPRINT_KEY: self.fingerprint, **(table.schema.metadata or {})}
        self.output.put(name, table_bytes(table, metadata))


def sums_file(number: int) -> str:
    """The path of a round's sums in the scan directory."""
    return f"{SUMS}{number}.parquet"


def consensus_files(config: Scan | Rescore, shards: Sequence[Shard]) -> list[str]:
    """The files of a finished scan's consensus; none if it was not asked for."""
    chosen = consensus_of(config.methods())
    if chosen is None:
        return []
    sums = [sums_file(step) for step in range(Agreement(chosen, 0).steps)]
    return [ANCHORS, *sums, *(shard_file(VOTES, shard.id) for shard in shards)]
