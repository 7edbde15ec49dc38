"""A scan's consensus in storage: the anchors, each image's votes, the sums of every step, and those of a reference."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ood_core.consensus.reference import ReferenceSums
from ood_core.consensus.sums import Sums
from ood_core.vectors import vector_column, vectors_of
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.consensus.asked import Asked, Chain, ChainName, Known
from pipelines.consensus.tables import reference_of_table, reference_table, sums_of, sums_table
from pipelines.consensus.told import Told, told_of_table
from pipelines.inputs.plan import Shard
from pipelines.scan_directory.layout import (
    ANCHORS,
    CONSENSUS,
    FINGERPRINT_KEY,
    OF_REFERENCE,
    REFERENCE_SUMS,
    REFERENCE_VOTES,
    SUMS,
    VERDICT_SUMS,
    VERDICT_VOTES,
    VOTES,
    WITH_VERDICTS,
    committed,
    read_table,
    shard_file,
    table_bytes,
)
from pipelines.storage import Directory

LABELS_KEY = b"oodscan.labels"
"""Metadata of the table of anchors: how many ID labels images vote on besides."""
PREFIXES: Mapping[ChainName, str] = {
    "consensus": SUMS,
    "reference": OF_REFERENCE,
    "verdicts": WITH_VERDICTS,
}
"""How the names of the sums of each chain begin."""


@dataclass(frozen=True)
class ConsensusFiles:
    """The folder `consensus/` of a scan. Votes depend on the anchors, and sums on the votes of all shards."""

    output: Directory
    fingerprint: str

    def anchors(self) -> np.ndarray | None:
        """The anchors, unit vectors [anchors, dim]; None if they are not there."""
        table = self._anchor_table()
        return None if table is None else vectors_of(table["embedding"])

    def put_anchors(self, anchors: np.ndarray, label_count: int = 0) -> None:
        """Writes the anchors. Votes and sums of other anchors must be gone."""
        columns = {"anchor": pa.array(np.arange(len(anchors))), "embedding": vector_column(anchors)}
        self._put(ANCHORS, pa.table(columns, metadata={LABELS_KEY: str(label_count)}))

    def voted(self, folder: str = VOTES) -> set[str]:
        """The ids of the shards whose votes are there. `folder`: or of the reference's shards."""
        return committed(self.output, folder)

    def votes(self, shard: str, folder: str = VOTES) -> pa.Table:
        """A shard's table of votes, one row a record. Raises FileNotFoundError if there is none."""
        return read_table(self.output, shard_file(folder, shard))

    def put_sums(self, number: int, sums: Sums, chain: ChainName = "consensus") -> None:
        """Writes the sums of a step, the first of which is number 0."""
        self._put(sums_file(number, chain), sums_table(sums))

    def put_reference(self, sums: ReferenceSums, unusable: int) -> None:
        """Writes the sums of the reference."""
        self._put(REFERENCE_SUMS, reference_table(sums, unusable))

    def reference(self) -> tuple[ReferenceSums, int] | None:
        """The sums of the reference, and how many of its images could not be read; None if they are not there."""
        try:
            return reference_of_table(read_table(self.output, REFERENCE_SUMS))
        except FileNotFoundError:
            return None

    def put_told(self, told: Told, votes: pa.Table) -> None:
        """Writes what verdicts say, and the votes that it comes from. Sums with other verdicts must be gone."""
        self._put(VERDICT_VOTES, votes)
        self._put(VERDICT_SUMS, told.table())

    def told(self) -> Told | None:
        """What the verdicts say that the sums take in; None if they take in none."""
        try:
            return told_of_table(read_table(self.output, VERDICT_SUMS))
        except FileNotFoundError:
            return None

    def has_verdicts(self) -> bool:
        """Whether the sums take verdicts in."""
        return self.output.exists(VERDICT_SUMS)

    def chains(self, asked: Asked) -> dict[ChainName, Chain]:
        """What the sums have come to so far; none if there are no anchors, or none of the sums of a reference or of
        verdicts that it takes."""
        anchors, reference = self._anchor_table(["anchor"]), self.reference()
        told = self.told() if asked.has_verdicts else None
        if anchors is None or (asked.takes_reference and reference is None) or (asked.has_verdicts and told is None):
            return {}
        found = {}
        for name in asked.chains:
            chain = asked.start(name, len(anchors), voted_label_count(anchors), reference and reference[0], told)
            for sums in itertools.islice(self._sums(name), chain.steps):
                chain = chain.after(sums)
            found[name] = chain
        return found

    def known(self, asked: Asked) -> Known:
        """What has been summed up, as far as the sums are there."""
        return asked.known(self.chains(asked), self.told())

    def clear(self) -> None:
        """Removes all of it."""
        self.output.remove(CONSENSUS)

    def remove_sums(self) -> None:
        """Removes the sums of all steps."""
        prefixes = [prefix.rpartition("/")[2] for prefix in PREFIXES.values()]
        for name in self.output.names(CONSENSUS):
            if name.startswith(tuple(prefixes)):
                self.output.remove(f"{CONSENSUS}/{name}")

    def forget_told(self) -> None:
        """Removes what verdicts say, and all that was made from it."""
        self.remove_sums()
        for name in (VERDICT_SUMS, VERDICT_VOTES):
            self.output.remove(name)

    def forget_reference(self) -> None:
        """Removes the sums of the reference, and all that were made from them."""
        self.output.remove(REFERENCE_SUMS)
        self.remove_sums()

    def _anchor_table(self, columns: list[str] | None = None) -> pa.Table | None:
        """The table of anchors, or these columns of it; None if it is not there."""
        try:
            return read_table(self.output, ANCHORS, columns)
        except FileNotFoundError:
            return None

    def _sums(self, chain: ChainName) -> Iterator[Sums]:
        """The sums of one step after another, as far as they are there."""
        for number in itertools.count():
            try:
                yield sums_of(read_table(self.output, sums_file(number, chain)))
            except FileNotFoundError:
                return

    def _put(self, name: str, table: pa.Table) -> None:
        metadata = {FINGERPRINT_KEY: self.fingerprint, **(table.schema.metadata or {})}
        self.output.put(name, table_bytes(table, metadata))


def voted_label_count(anchors: pa.Table) -> int:
    """How many ID labels images vote on, by the table of anchors."""
    return int((anchors.schema.metadata or {}).get(LABELS_KEY, b"0"))


def sums_file(number: int, chain: ChainName = "consensus") -> str:
    """The path of a step's sums in the scan directory."""
    return f"{PREFIXES[chain]}{number}.parquet"


def consensus_files(
    config: Scan | Rescore, shards: Sequence[Shard], reference: Sequence[Shard] = (), has_verdicts: bool = False
) -> list[str]:
    """The files of a finished scan's consensus; none if it was not asked for. `reference`: its shards."""
    asked = Asked.of(config.methods(), has_verdicts)
    if asked is None:
        return []
    sums = [sums_file(step, chain) for chain in asked.chains for step in range(asked.steps(chain))]
    of_reference = [shard_file(REFERENCE_VOTES, shard.id) for shard in reference]
    of_reference += [REFERENCE_SUMS] * asked.takes_reference
    of_verdicts = [VERDICT_SUMS, VERDICT_VOTES] if asked.has_verdicts else []
    return [ANCHORS, *sums, *of_reference, *of_verdicts, *(shard_file(VOTES, shard.id) for shard in shards)]
