"""A shard that is being encoded: what has been found of its records so far."""

import json
from collections import Counter
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pyarrow as pa

from pipelines.inputs.plan import Shard
from pipelines.inputs.readers.record import Record
from pipelines.scan_directory.columns import LOCATOR, scattered
from pipelines.scan_directory.layout import PASSED_OVER_KEY
from pipelines.scan_directory.receipts import TIMES, Receipt
from pipelines.scans.workers.decode import Decoded


class OpenShard:
    """The records of a shard in order, and the scores of those that have a picture. `receipt`: once it is committed;
    `passed_over`: members of its archive that are no records, by kind."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.receipt: Future[Receipt] = Future()
        self.times: dict[str, float] = dict.fromkeys(TIMES, 0.0)
        self.passed_over: Counter[str] = Counter()
        self.ended = False
        self._records: list[Record] = []
        self._decoded: list[Decoded] = []
        self._pictures: list[int] = []
        self._scores: list[pa.Table] = []

    @property
    def whole(self) -> bool:
        """Whether all records have come and all pictures have scores."""
        return self.ended and len(self._pictures) == sum(map(len, self._scores))

    def add(self, record: Record, decoded: Decoded) -> None:
        """Takes the next record; its bytes and pixels are not kept."""
        if decoded.pixels is not None:
            self._pictures.append(len(self._records))
        self._records.append(replace(record, content=b""))
        self._decoded.append(replace(decoded, pixels=None))

    def add_scores(self, scores: pa.Table) -> None:
        """Takes the columns of scores of the next pictures."""
        self._scores.append(scores)

    def table(self, nothing: pa.Table) -> pa.Table:
        """All rows of the shard. `nothing`: the columns of scores of no picture."""
        count, records, found = len(self._records), self._records, self._decoded
        columns = {
            "shard": pa.array([self.shard.id] * count, pa.string()),
            "index": pa.array(np.arange(count), pa.int64()),
            "key": pa.array([record.key for record in records], pa.string()),
            "status": pa.array([decoded.status for decoded in found], pa.string()),
            "error": pa.array([decoded.error for decoded in found], pa.string()),
            "width": pa.array([decoded.width for decoded in found], pa.int32()),
            "height": pa.array([decoded.height for decoded in found], pa.int32()),
        }
        scores = pa.concat_tables([nothing, *self._scores]).combine_chunks()
        places = np.array(self._pictures, np.int64)
        for name in scores.column_names:
            columns[name] = scattered(scores[name], places, count)
        for name, kind in LOCATOR.items():
            known = (getattr(record, name) for record in records)
            columns[name] = pa.array([None if value == "" else value for value in known], kind)
        told = {PASSED_OVER_KEY: json.dumps(self.passed_over, sort_keys=True)} if self.passed_over else None
        return pa.table(columns, metadata=told)
