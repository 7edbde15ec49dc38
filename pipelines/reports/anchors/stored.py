"""What a scan's directory holds of its consensus, checked and read column by column. Free of torch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq
from jaxtyping import Float32

from ood_core.consensus.agreement import Agreement
from ood_core.methods import score_column
from pipelines.consensus.files import sums_file, sums_of
from pipelines.errors import CallerError
from pipelines.inputs.readers.range_file import open_range
from pipelines.reports.anchors.scan import Consented
from pipelines.scan_directory.columns import ANCHOR
from pipelines.scan_directory.layout import ANCHORS, CONSENSUS, FINGERPRINT_KEY, SCORES, VOTES, shard_file
from pipelines.scan_directory.record import reading
from pipelines.storage import file_system

SCORE = score_column("consensus")


@dataclass(frozen=True)
class Agreed:
    """How far images agree with their neighbours: a correlation, 0 where it is negative. `images`: that it is of."""

    agreement: float
    images: int


@dataclass(frozen=True)
class Stored:
    """The tables of a consensus. Each raises CallerError, naming the file, if it is missing, damaged or of another
    scan."""

    scan: Consented

    @cached_property
    def anchors(self) -> Float32[np.ndarray, "anchors dim"]:
        """Their embeddings, unit vectors."""
        with self._checked(ANCHORS):
            column = self._table(ANCHORS, ["embedding"])["embedding"].combine_chunks()
            if not len(column) or column.null_count:
                raise ValueError("it has no anchors, or anchors without an embedding")
            found = column.flatten().to_numpy().astype(np.float32, copy=False).reshape(len(column), -1)
            if not (np.abs(np.linalg.norm(found, axis=1) - 1) < 1e-3).all():
                raise ValueError("it has anchors that are not of unit length")
            return found

    def agreed(self) -> Agreed:
        """What the sums of all steps come to."""
        known = Agreement(self.scan.parameters, len(self.anchors))
        while not known.finished:
            name = sums_file(len(known.known))
            with self._checked(name):
                sums = sums_of(self._table(name))
                if sums.anchors.shape[1] != known.anchor_count:
                    raise ValueError(f"it is of {sums.anchors.shape[1]} anchors, and there are {known.anchor_count}")
                known = known.after(sums)
        with self._checked(CONSENSUS):
            return Agreed(known.agreement, known.images)

    def check_votes(self) -> None:
        """That every shard has votes, a row for each record; no more of a table is read than where it says so."""
        for shard in self.scan.recorded.shards:
            scores, votes = (shard_file(folder, shard) for folder in (SCORES, VOTES))
            with self._checked(scores):
                records = self._records(scores)
            with self._checked(votes):
                if (voted := self._records(votes)) != records:
                    raise ValueError(f"it has votes of {voted} records, and {scores} scores of {records}")

    def scored(self, *columns: str) -> Iterator[tuple[str, pa.Table]]:
        """Shard by shard, those of its images that have scores: nearest anchor, consensus' score, and the columns."""
        for shard in self.scan.recorded.shards:
            name = shard_file(SCORES, shard)
            with self._checked(name):
                table = self._table(name, ["status", ANCHOR, SCORE, *columns])
                table = table.filter(compute.field("status") == "ok").drop_columns(["status"])
                self._check(table)
            yield shard, table

    def _check(self, scored: pa.Table) -> None:
        """Raises ValueError for an image that lacks a value, or whose anchor there is not."""
        for name in scored.column_names:
            values = scored[name]
            if values.null_count or (pa.types.is_floating(values.type) and not np.isfinite(values.to_numpy()).all()):
                raise ValueError(f"it has images of status ok without {name}")
        anchors = scored[ANCHOR].to_numpy()
        unknown = anchors[(anchors < 0) | (anchors >= len(self.anchors))]
        if len(unknown):
            raise ValueError(f"it has an image of anchor {unknown[0]}, and the last is {len(self.anchors) - 1}")

    def _table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """None: every column. Raises ValueError for one of another scan."""
        with self._open(name) as file:
            table = pq.read_table(file, columns=columns, page_checksum_verification=True)
        self._check_fingerprint(table.schema.metadata)
        table.validate(full=True)
        return table

    def _records(self, name: str) -> int:
        """How many rows a table has. Raises ValueError for one of another scan."""
        with self._open(name) as file:
            metadata = pq.read_metadata(file)
        self._check_fingerprint(metadata.metadata)
        return metadata.num_rows

    def _check_fingerprint(self, metadata: dict[bytes, bytes] | None) -> None:
        if (metadata or {}).get(FINGERPRINT_KEY, b"").decode() != self.scan.recorded.fingerprint:
            raise ValueError("it carries the fingerprint of another scan")

    def _open(self, name: str) -> BinaryIO:
        directory = self.scan.directory
        files, path = file_system(f"{directory.url}/{name}", directory.options)
        return open_range(files, path, files.info(path)["size"])

    @contextmanager
    def _checked(self, name: str) -> Iterator[None]:
        url = self.scan.directory.url
        try:
            with reading(url, name):
                yield
        except (FileNotFoundError, NotADirectoryError) as error:
            raise CallerError(f"SCAN {url!r} cannot be read: {name} is missing") from error
