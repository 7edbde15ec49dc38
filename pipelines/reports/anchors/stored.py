"""The anchors, votes, sums and scores of a consensus, read from a scan directory and checked. Free of torch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq
from jaxtyping import Float32

from ood_core.consensus.agreement import Agreement
from ood_core.methods import score_column
from ood_core.vectors import parquet_table, vectors_of
from pipelines.consensus.asked import Asked, Chain, no_votes
from pipelines.consensus.files import sums_file, voted_label_count
from pipelines.consensus.tables import reference_of_table, sums_of
from pipelines.consensus.told import told_of_table
from pipelines.errors import CallerError
from pipelines.reports.anchors.scan import ConsensusScan
from pipelines.reports.scan_inputs import open_file
from pipelines.scan_directory.columns import ANCHOR
from pipelines.scan_directory.layout import (
    ANCHORS,
    CONSENSUS,
    FINGERPRINT_KEY,
    REFERENCE_SUMS,
    SCORES,
    VERDICT_SUMS,
    VOTES,
    shard_file,
)
from pipelines.scan_directory.record import reading

SCORE = score_column("consensus")


@dataclass(frozen=True)
class FinalAgreement:
    """How far a scan's images agree with their neighbours, after every step of consensus.

    `correlation`: of their scores, 0 where it is negative; `images`: how many images it is computed over.
    """

    correlation: float
    images: int


@dataclass(frozen=True)
class StoredConsensus:
    """The tables that a consensus left in the scan directory.

    Reading one raises CallerError, with the file's name, if it is missing, damaged or of another scan.
    """

    scan: ConsensusScan

    @cached_property
    def anchors(self) -> Float32[np.ndarray, "anchors dim"]:
        """The anchors, unit vectors."""
        with self._checked(ANCHORS):
            column = self._table(ANCHORS, ["embedding"])["embedding"]
            if not len(column) or column.null_count:
                raise ValueError("it has no anchors, or anchors without an embedding")
            found = vectors_of(column).astype(np.float32, copy=False)
            if not (np.abs(np.linalg.norm(found, axis=1) - 1) < 1e-3).all():
                raise ValueError("it has anchors that are not of unit length")
            return found

    def agreement(self) -> FinalAgreement:
        """How far images agree with their neighbours, from the stored sums of all steps."""
        known = self._start()
        while not known.finished:
            name = sums_file(len(known.known))
            with self._checked(name):
                sums, expected = sums_of(self._table(name)), known.sums(no_votes(self._asked)).anchors.shape[1]
                if sums.anchors.shape[1] != expected:
                    raise ValueError(f"it is of {sums.anchors.shape[1]} anchors, and there are {expected}")
                known = known.after(sums)
        with self._checked(CONSENSUS):
            if not isinstance(known, Agreement):
                raise ValueError("it is not of consensus")
            return FinalAgreement(known.agreement, known.images)

    @property
    def _asked(self) -> Asked:
        found = Asked.of(self.scan.record.methods, self.scan.record.directory.exists(VERDICT_SUMS))
        if found is None:
            raise TypeError("a scan by consensus asks for something")
        return found

    def _start(self) -> Chain:
        """The chain of consensus before its first sums."""
        labels, reference = 0, None
        if self._asked.on_labels:
            with self._checked(ANCHORS):
                labels = voted_label_count(self._table(ANCHORS, ["anchor"]))
        if self._asked.takes_reference:
            with self._checked(REFERENCE_SUMS):
                reference, _ = reference_of_table(self._table(REFERENCE_SUMS))
        told = None
        if self._asked.has_verdicts:
            with self._checked(VERDICT_SUMS):
                told = told_of_table(self._table(VERDICT_SUMS))
        return self._asked.start("consensus", len(self.anchors), labels, reference, told)

    def check_votes(self) -> None:
        """Raises CallerError unless every shard has as many rows of votes as of scores; reads only the footers."""
        for shard in self.scan.record.shards:
            scores, votes = (shard_file(folder, shard) for folder in (SCORES, VOTES))
            with self._checked(scores):
                records = self._records(scores)
            with self._checked(votes):
                if (voted := self._records(votes)) != records:
                    raise ValueError(f"it has votes of {voted} records, and {scores} scores of {records}")

    def scored(self, *columns: str) -> Iterator[tuple[str, pa.Table]]:
        """Each shard's id and table of its scored images: `ANCHOR`, `SCORE` and the columns asked for."""
        for shard in self.scan.record.shards:
            name = shard_file(SCORES, shard)
            with self._checked(name):
                table = self._table(name, ["status", ANCHOR, SCORE, *columns])
                table = table.filter(compute.field("status") == "ok").drop_columns(["status"])
                self._check_values(table)
            yield shard, table

    def _check_values(self, scored: pa.Table) -> None:
        """Raises ValueError if an image lacks a value, or its nearest anchor is not one of the scan's."""
        for name in scored.column_names:
            values = scored[name]
            if values.null_count or (pa.types.is_floating(values.type) and not np.isfinite(values.to_numpy()).all()):
                raise ValueError(f"it has images of status ok without {name}")
        anchors = scored[ANCHOR].to_numpy()
        unknown = anchors[(anchors < 0) | (anchors >= len(self.anchors))]
        if len(unknown):
            raise ValueError(f"it has an image of anchor {unknown[0]}, and the last is {len(self.anchors) - 1}")

    def _table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A table of the scan, or some of its columns. Raises ValueError for one of another scan."""
        with open_file(self.scan.directory, name) as file:
            table = parquet_table(file, columns)
        self._check_fingerprint(table.schema.metadata)
        table.validate(full=True)
        return table

    def _records(self, name: str) -> int:
        """How many rows a table of the scan has. Raises ValueError for one of another scan."""
        with open_file(self.scan.directory, name) as file:
            metadata = pq.read_metadata(file)
        self._check_fingerprint(metadata.metadata)
        return metadata.num_rows

    def _check_fingerprint(self, metadata: dict[bytes, bytes] | None) -> None:
        """Raises ValueError unless a table's metadata carries the fingerprint of the scan."""
        if (metadata or {}).get(FINGERPRINT_KEY, b"").decode() != self.scan.record.fingerprint:
            raise ValueError("it carries the fingerprint of another scan")

    @contextmanager
    def _checked(self, name: str) -> Iterator[None]:
        """Turns whatever is wrong with a file of the scan, missing files included, into a CallerError that names it."""
        url = self.scan.directory.url
        try:
            with reading(url, name):
                yield
        except (FileNotFoundError, NotADirectoryError) as error:
            raise CallerError(f"SCAN {url!r} cannot be read: {name} is missing") from error
