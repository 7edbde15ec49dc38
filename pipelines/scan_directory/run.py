"""One run of a scan: what every step commits through, counts in and reports to."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.inputs.plan import Shard
from pipelines.runtime.progress import Say, counting
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.identity import Fingerprints
from pipelines.scan_directory.layout import SCORES, committed
from pipelines.scan_directory.lease import Lease
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.summary import Clock, Tally
from pipelines.storage import Directory

SAY_EVERY_S = 5.0

OnReceipts = Callable[[pa.Table], Any]
"""Called with receipts of shards that have just been committed."""


@dataclass(frozen=True)
class Run:
    """One run of a scan. `shards`: all that are planned; `tally`, `manifest`: of all score tables; `clock`: of this
    run's work; `again`: committed shards that are done again; `lease`: without which it must not go on."""

    output: Directory
    fingerprints: Fingerprints
    shards: Sequence[Shard]
    tally: Tally
    clock: Clock
    say: Say
    manifest: Manifest
    again: frozenset[str] = frozenset()
    lease: Lease | None = None

    @property
    def fingerprint(self) -> str:
        """That of the whole scan."""
        return self.fingerprints.whole

    def committer(self, folder: str) -> Committer:
        """What commits shards of this scan to a folder."""
        return Committer(self.output, self.fingerprints.of(folder), folder, again=self.again, whole=self.fingerprint)

    def restart(self) -> None:
        """Forgets the receipts of all score tables: every one of them is to be received again."""
        self.tally.clear()
        self.manifest.clear()

    def missing(self, folder: str, shards: Sequence[Shard]) -> list[Shard]:
        """Those of the shards that are not committed to the folder; of score tables, those that are not whole too."""
        done = self.tally.shards() if folder == SCORES else committed(self.output, folder)
        return [shard for shard in shards if shard.id not in done]

    def receive(self, folder: str, shards: Sequence[Shard], receipts: Iterable[pa.Table], *others: OnReceipts) -> None:
        """Takes the receipts of these shards, as workers commit them to the folder, and says how far they have come.

        Those of score tables are counted, and written to the manifest. `others` hear of them too. Raises RuntimeError
        if a shard has none in the end.
        """
        missing = {shard.id for shard in shards} - self._received(folder, shards, receipts, *others)
        if missing:
            raise RuntimeError(f"Ray has ended, but {len(missing)} shards are missing, {min(missing)} among them")

    def receive_some(self, folder: str, shards: Sequence[Shard], receipts: Iterable[pa.Table]) -> int:
        """Takes receipts as `receive` does, and returns how many there were: some of the shards may have none."""
        return len(self._received(folder, shards, receipts))

    def _received(
        self, folder: str, shards: Sequence[Shard], receipts: Iterable[pa.Table], *others: OnReceipts
    ) -> set[str]:
        """Takes receipts, and returns the ids of the shards that they are of."""
        more, images = counting(self.say, len(shards), "shards committed", SAY_EVERY_S), 0
        received: set[str] = set()
        hearers = [self.tally.add, self.manifest.add, *others] if folder == SCORES else others
        for table in receipts:
            ids = table["shard"].to_pylist()
            images += sum(table["records"].to_pylist())
            for hear in hearers:
                hear(table)
            if self.lease:
                self.lease.check()
            received.update(ids)
            more(len(ids), f"{images} images")
        return received
