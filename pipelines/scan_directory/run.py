"""One run of a scan: what every step commits through, counts in and reports to."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipelines.inputs.plan import Shard
from pipelines.runtime.progress import Say, counting
from pipelines.scan_directory.columns import ENCODER_READY
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.layout import SCORES
from pipelines.scan_directory.summary import Clock, Tally
from pipelines.storage import Directory

SAY_EVERY_S = 5.0


@dataclass(frozen=True)
class Run:
    """One run of a scan. `shards`: all that are planned; `tally`: of all score tables; `clock`: of this run's work."""

    output: Directory
    fingerprint: str
    shards: Sequence[Shard]
    tally: Tally
    clock: Clock
    say: Say

    def committer(self, folder: str, shards: Sequence[Shard]) -> Committer:
        """A committer of these shards' rows to a folder, which says how far it has come.

        Rows of score tables are counted in the tally, and what encoders tell of their time in the clock.
        """
        more, images = counting(self.say, len(shards), "shards committed", SAY_EVERY_S), 0

        def on_commit(_: str, table: pa.Table) -> None:
            nonlocal images
            images += len(table)
            if folder == SCORES:
                self.tally.add(table)
            if ENCODER_READY in table.column_names:
                self.clock.add(table, time.time())
            more(1, f"{images} images")

        return Committer(self.output, self.fingerprint, on_commit, folder)
