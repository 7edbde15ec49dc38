"""What a scan's directory holds of its consensus, checked and read column by column. Free of torch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32

from ood_core.consensus.agreement import Agreement
from ood_core.methods import score_column
from pipelines.anchor_reports.scan import Consented
from pipelines.consensus_files import ANCHORS, SUMS, sums_of
from pipelines.errors import CallerError
from pipelines.memory_reports.scan import reading
from pipelines.parts import FINGERPRINT_KEY, SCORES, VOTES, part_name
from pipelines.readers.range_file import open_range
from pipelines.stages.columns import ANCHOR, SHIFT
from pipelines.storage import file_system


@dataclass(frozen=True)
class Stored:
    """Whatever is missing, damaged or of another scan is a CallerError that names the file."""

    scan: Consented

    @cached_property
    def anchors(self) -> Float32[np.ndarray, "anchors dim"]:
        """Their embeddings, unit vectors."""
        with self._checked(ANCHORS):
            column = self._table(ANCHORS, ["embedding"])["embedding"].combine_chunks()
            if not len(column):
                raise ValueError("it holds no anchor")
            if column.null_count:
                raise ValueError("it holds anchors without an embedding")
            return column.flatten().to_numpy().astype(np.float32, copy=False).reshape(len(column), -1)

    @cached_property
    def agreement(self) -> Agreement:
        """All steps."""
        found = Agreement(self.scan.parameters, len(self.anchors))
        while not found.finished:
            name = f"{SUMS}{len(found.known)}.parquet"
            with self._checked(name):
                sums = sums_of(self._table(name))
                if sums.anchors.shape[1] != found.anchor_count:
                    raise ValueError(f"it is of {sums.anchors.shape[1]} anchors, and there are {found.anchor_count}")
                found = found.after(sums)
        with self._checked(f"{SUMS}…"):
            assert 0 <= found.agreement <= 1 <= found.images
        return found

    def scored(self, *columns: str) -> Iterator[tuple[str, pa.Table]]:
        """Shard by shard the images that have a score by consensus: that, their nearest anchor, and some columns."""
        wanted = [ANCHOR, score_column("consensus"), *columns]
        for shard in self.scan.shards:
            name = f"{SCORES}/{part_name(shard)}"
            with self._checked(name):
                table = self._table(name, [*wanted, "status"])
                ok = table.filter(pa.compute.field("status") == "ok").select(wanted)
                self._check(ok)
                yield shard, ok

    def check_votes(self) -> None:
        """Whether the votes of every shard are there, a row for each record; of each only the end is read."""
        for shard in self.scan.shards:
            name, scores = f"{VOTES}/{part_name(shard)}", f"{SCORES}/{part_name(shard)}"
            with self._checked(scores):
                records = self._metadata(scores).num_rows
            with self._checked(name):
                votes = self._metadata(name)
                if votes.num_rows != records:
                    raise ValueError(f"it is of {votes.num_rows} records, and {scores} of {records}")

    def _check(self, scored: pa.Table) -> None:
        """Raises ValueError for images that lack a value, or whose anchor is none."""
        for column in scored.column_names:
            values = scored[column]
            if pa.types.is_floating(values.type) and not np.isfinite(values.to_numpy()).all():
                raise ValueError(f"it has images of status ok without {column}")
        anchors = scored[ANCHOR]
        if anchors.null_count:
            raise ValueError(f"it has images of status ok without {ANCHOR}")
        last = len(self.anchors) - 1
        if len(scored) and not 0 <= (found := anchors.to_numpy()).min() <= found.max() <= last:
            raise ValueError(f"it has images of anchor {found.min() if found.min() < 0 else found.max()}; the last is {last}")

    def _table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        with self._open(name) as file:
            table = pq.read_table(file, columns=columns, page_checksum_verification=True)
            self._check_ours(table.schema.metadata)
            table.validate(full=True)
            return table

    def _metadata(self, name: str) -> pq.FileMetaData:
        with self._open(name) as file:
            found = pq.read_metadata(file)
            self._check_ours(found.metadata)
            return found
