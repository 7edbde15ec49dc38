"""A scan that has ended, as its directory tells without its score tables, for reports. Free of torch."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ood_core.drift import Counted
from ood_core.methods import score_column
from ood_core.vectors import vectors_of
from pipelines.errors import CallerError
from pipelines.flags.thresholds import Thresholds, thresholds_of
from pipelines.inputs.plan import Shard, read_plan
from pipelines.scan_directory.breakdown import Counts, all_counts
from pipelines.scan_directory.columns import flag_column
from pipelines.scan_directory.kinds import Kind, kinds_of
from pipelines.scan_directory.layout import (
    ANCHORS,
    GALLERY_FILE,
    MANIFEST,
    PLAN_FILE,
    REFERENCE_SCORES,
    SUMMARY_FILE,
    read_table,
)
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.receipts import TIMES
from pipelines.scan_directory.record import ScanRecord, reading
from pipelines.scan_directory.sketch import middles
from pipelines.scan_directory.summary import Tally
from pipelines.storage import Directory

Row = Mapping[str, Any]
"""A row of the gallery: an image, why it is shown, and its thumbnail."""
MOST_TABLES = 64
"""Tables of a reference's scores that are read."""


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
    def deciding(self) -> str:
        """The method by whose flags images are kept or dropped."""
        return self.thresholds.deciding

    @property
    def methods(self) -> list[str]:
        """The methods that the scan has scores by, the deciding one first."""
        return sorted(self.record.methods, key=lambda name: name != self.deciding)

    def scores(self, method: str) -> Counted:
        """The distribution of a method's scores, each within a ten-thousandth of its value."""
        sketch = self.tally.sketches.get(score_column(method))
        buckets, counts = sketch.counted() if sketch else (np.empty(0, np.int64), np.empty(0, np.int64))
        return Counted(middles(buckets).astype(np.float64), counts)

    def reference_scores(self, method: str) -> Counted:
        """The distribution of a method's scores of the reference, of its first tables; empty where there are none."""
        parts, column = [np.empty(0)], score_column(method)
        for name in self.record.directory.names(REFERENCE_SCORES)[:MOST_TABLES]:
            path = f"{REFERENCE_SCORES}/{name}"
            with self._reading(path):
                table = read_table(self.record.directory, path)
                parts += [table[column].drop_null().to_numpy()] if column in table.column_names else []
        return Counted(*np.unique(np.concatenate(parts), return_counts=True))

    def counts(self, by: str) -> Counts:
        """Counts of images by label, negative label, anchor or group."""
        return self._counts.get(by, {})

    @cached_property
    def _counts(self) -> Mapping[str, Counts]:
        return all_counts(self.tally.breakdown())

    @cached_property
    def kinds(self) -> list[Kind]:
        """The kinds of images that do not belong, those of most flagged images first."""
        return kinds_of(self.tally.breakdown(), flag_column(self.deciding))

    def share(self, method: str) -> float | None:
        """The share of the images that a method flags; None without a threshold or images."""
        if method not in self.thresholds.methods or not self.tally.scored:
            return None
        return self.tally.flagged[flag_column(method)] / self.tally.scored

    @cached_property
    def gallery(self) -> Mapping[tuple[str, str], Sequence[Row]]:
        """The images worth a look, by method and why they were chosen, in order. Raises CallerError if it cannot be
        read."""
        found: dict[tuple[str, str], list[Row]] = {}
        with self._reading(GALLERY_FILE):
            for row in read_table(self.record.directory, GALLERY_FILE).sort_by("rank").to_pylist():
                found.setdefault((row["method"], row["kind"]), []).append(row)
        return found

    @cached_property
    def anchors(self) -> np.ndarray | None:
        """The anchors of consensus, unit vectors; None of a scan without. Raises CallerError if they cannot be read."""
        if not self.record.directory.exists(ANCHORS):
            return None
        with self._reading(ANCHORS):
            return vectors_of(read_table(self.record.directory, ANCHORS)["embedding"]).astype(np.float32)

    @cached_property
    def receipts(self) -> dict[str, dict[str, Any]]:
        """What is told of each shard, by its id."""
        columns = ["shard", "records", "statuses", "flagged", "committed", *TIMES]
        rows = (row for table in self.tally.receipts for row in table.select(columns).to_pylist())
        return {row["shard"]: row | {name: dict(row[name] or []) for name in ("statuses", "flagged")} for row in rows}

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        """Turns whatever is wrong with a file, missing or damaged, into a CallerError that names it."""
        try:
            with reading(self.url, name, self.called):
                yield
        except FileNotFoundError:
            raise CallerError(f"{self.called} {self.url!r} cannot be read: {name} is missing") from None


def names_of(scans: Sequence[EndedScan]) -> list[str]:
    """The scans' names: the last parts of their URLs, as many as it takes to tell them apart."""
    urls = [tuple(scan.url.rstrip("/").split("/")) for scan in scans]
    for parts in range(1, max(map(len, urls), default=0)):
        if len({url[-parts:] for url in urls}) == len(set(urls)):
            return ["/".join(url[-parts:]) for url in urls]
    return ["/".join(url) for url in urls]
