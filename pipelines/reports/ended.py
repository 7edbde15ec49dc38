"""A scan that has ended, as its directory tells without its score tables, for reports. Free of torch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.drift import Counted
from ood_core.methods import score_column
from ood_core.vectors import vectors_of
from pipelines.errors import CallerError
from pipelines.flags.thresholds import Thresholds, thresholds_of
from pipelines.inputs.plan import Shard, read_plan
from pipelines.scan_directory.breakdown import counts_by
from pipelines.scan_directory.columns import flag_column
from pipelines.scan_directory.kinds import Kind, kinds_of
from pipelines.scan_directory.layout import ANCHORS, GALLERY_FILE, MANIFEST, PLAN_FILE, SUMMARY_FILE, read_table
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.record import ScanRecord, reading
from pipelines.scan_directory.sketch import middles
from pipelines.scan_directory.summary import Tally
from pipelines.storage import Directory


@dataclass(frozen=True)
class EndedScan:
    """What an ended scan tells of itself. `called`: how messages call it; `shards`: as they were planned."""

    called: str
    record: ScanRecord
    summary: Mapping[str, Any]
    tally: Tally
    thresholds: Thresholds
    shards: Sequence[Shard]

    @classmethod
    def read(cls, directory: Directory, called: str = "SCAN") -> "EndedScan":
        """Raises CallerError for what is no scan, has not ended, or has files that cannot be read."""
        url, record = directory.url, ScanRecord.read(directory, called)
        try:
            with reading(url, SUMMARY_FILE, called):
                summary = dict(json.loads(directory.read(SUMMARY_FILE)))
        except FileNotFoundError:
            raise CallerError(f"{called} {url!r} is a scan that has not ended: it has no {SUMMARY_FILE}") from None
        with reading(url, PLAN_FILE, called):
            shards = read_plan(directory.read(PLAN_FILE))
        tally = Manifest(directory, record.fingerprint).told()
        if tally.shards() != set(record.shards):
            raise CallerError(f"{called} {url!r} cannot be read: its {MANIFEST}/ is damaged or not complete")
        return cls(called, record, summary, tally, thresholds_of(directory, called), shards)

    @property
    def url(self) -> str:
        return self.record.directory.url

    @property
    def name(self) -> str:
        """The last part of its URL."""
        return self.url.rstrip("/").rpartition("/")[2]

    @property
    def deciding(self) -> str:
        """The method by whose flags images are kept or dropped."""
        return self.thresholds.deciding

    def scores(self, method: str) -> Counted:
        """The distribution of a method's scores, each within a ten-thousandth of its value."""
        sketch = self.tally.sketches.get(score_column(method))
        buckets, counts = sketch.counted() if sketch else (np.empty(0, np.int64), np.empty(0, np.int64))
        return Counted(middles(buckets).astype(np.float64), counts)

    def counts(self, by: str) -> dict[str, dict[str, int]]:
        """Counts of images by label, negative label, anchor or group."""
        return counts_by(self.tally.breakdown(), by)

    @cached_property
    def kinds(self) -> list[Kind]:
        """The kinds of images that do not belong, those of most flagged images first."""
        return kinds_of(self.tally.breakdown(), flag_column(self.deciding))

    def share(self, method: str) -> float | None:
        """The share of the images that a method flags; None if it has no threshold."""
        if method not in self.thresholds.methods or not self.tally.scored:
            return None
        return self.tally.flagged[flag_column(method)] / self.tally.scored

    @cached_property
    def gallery(self) -> pa.Table:
        """The images worth a look. Raises CallerError if it cannot be read."""
        return self._table(GALLERY_FILE)

    @cached_property
    def anchors(self) -> np.ndarray | None:
        """The anchors of consensus, unit vectors; None of a scan without."""
        if not self.record.directory.exists(ANCHORS):
            return None
        return vectors_of(self._table(ANCHORS)["embedding"]).astype(np.float32)

    @cached_property
    def receipts(self) -> dict[str, dict[str, Any]]:
        """What is told of each shard, by its id."""
        columns = ["shard", "records", "statuses", "flagged", "read_s", "decode_s", "encode_s", "score_s", "write_s"]
        rows = (row for table in self.tally.receipts for row in table.select(columns).to_pylist())
        return {row["shard"]: row | {name: dict(row[name] or []) for name in ("statuses", "flagged")} for row in rows}

    def _table(self, name: str) -> pa.Table:
        try:
            with reading(self.url, name, self.called):
                return read_table(self.record.directory, name)
        except FileNotFoundError:
            raise CallerError(f"{self.called} {self.url!r} cannot be read: {name} is missing") from None
