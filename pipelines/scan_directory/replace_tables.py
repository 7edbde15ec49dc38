"""Replaces the score tables of a scan by others of the same rows, in place, each at once."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from pipelines.scan_directory.layout import GALLERY_FILE, REPORT_FILE, SCORES, SUCCESS_FILE, shard_file, table_bytes
from pipelines.scan_directory.receipts import CARRIED, Receipt, receipt_of, receipts_table
from pipelines.scan_directory.run import Run
from pipelines.scan_directory.whole import NotWholeError, whole_table
from pipelines.storage import Directory


def reopened(run: Run, workers: int) -> list[pa.Table]:
    """Forgets that the scan has ended, and the receipts of its score tables, of which it returns what `ReplaceTables`
    is called with, in groups for so many workers.

    Until every table is received again no receipt counts, so that a run that is cut short is made good by the next.
    """
    from pipelines.runtime.spread import ranges  # which imports Ray, and who verifies needs none

    before = pa.concat_tables([table.select(["shard", *CARRIED]) for table in run.tally.receipts]).sort_by("shard")
    for name in (SUCCESS_FILE, GALLERY_FILE, REPORT_FILE):
        run.output.remove(name)
    run.restart()
    return [before.slice(places[0], len(places)) for places in ranges(range(len(before)), workers)]


class ReplaceTables(ABC):
    """Puts other score tables in the place of those of some shards. `fingerprint`: that they carry."""

    def __init__(self, output: Directory, fingerprint: str) -> None:
        self.output, self.fingerprint = output, fingerprint

    @abstractmethod
    def made(self, shard: str, rows: pa.Table) -> pa.Table:
        """What takes the place of a shard's rows: these themselves, if they are what they should be."""

    def receipt(self, shard: str, rows: pa.Table, content: bytes) -> Receipt:
        """The receipt of a table that is in place."""
        return receipt_of(shard, rows, content)

    def __call__(self, receipts: pa.Table) -> Iterator[pa.Table]:
        """For Ray Data: the receipts of shards of which one of the groups of `reopened` is given."""
        yield receipts_table(self._replaced(before) for before in receipts.to_pylist())

    def _replaced(self, before: Mapping[str, Any]) -> Receipt:
        shard = before["shard"]
        name = shard_file(SCORES, shard)
        content = self.output.read(name)
        try:
            rows = whole_table(content, self.fingerprint, shard)
        except NotWholeError as error:
            raise RuntimeError(f"{name}, which has just been committed, is not whole: {error}") from error
        made = self.made(shard, rows)
        if made is not rows:
            content = table_bytes(made, made.schema.metadata)
            self.output.put(name, content)
        return self.receipt(shard, made, content) | {column: before[column] for column in CARRIED}
