"""The scan whose memory is shown: which methods learn, and what its last run has cost. Free of torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ood_core.methods import LearningMethod
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.errors import CallerError
from pipelines.memory.actor import Meters
from pipelines.memory.orders import has_sequential, methods_with_memory
from pipelines.scan_directory.layout import SUMMARY_FILE
from pipelines.scan_directory.record import ScanRecord, reading
from pipelines.storage import Directory


@dataclass(frozen=True)
class LastRun:
    """What the last run's actors did: how many there were, their CPU time, and `Meters.NAMES` by method."""

    images: int
    actors: int
    actors_cpu_s: float
    traffic: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(cls, memory: Mapping[str, Any], learners: Mapping[str, LearningMethod]) -> "LastRun":
        """`memory`: as `summary.json` has it."""
        traffic = {
            name: {count: int(memory[name].get(count, 0)) for count in Meters.NAMES}
            for name in learners
            if name in memory
        }
        return cls(int(memory["images"]), int(memory["actors"]), float(memory["actors_cpu_s"]), traffic)


@dataclass(frozen=True)
class Learned:
    """A scan that learns. `ended`: whether there is a summary, which `records` and `last_run` are from."""

    recorded: ScanRecord
    learners: Mapping[str, LearningMethod]
    ended: bool
    records: int | None
    last_run: LastRun | None

    @classmethod
    def read(cls, directory: Directory) -> "Learned":
        """Raises CallerError if there is no scan, or none that keeps a memory."""
        recorded = ScanRecord.read(directory)
        learners = _learners(recorded)
        with reading(directory.url, SUMMARY_FILE):
            if not directory.exists(SUMMARY_FILE):
                return cls(recorded, learners, False, None, None)
            summary = json.loads(directory.read(SUMMARY_FILE))
            memory = summary["last_run"].get("memory")
            last_run = None if memory is None else LastRun.of(memory, learners)
            return cls(recorded, learners, True, int(summary["records"]), last_run)

    @property
    def directory(self) -> Directory:
        return self.recorded.directory

    @property
    def config(self) -> Scan | Rescore:
        return self.recorded.config

    @property
    def planned(self) -> int:
        return len(self.recorded.shards)


def _learners(recorded: ScanRecord) -> Mapping[str, LearningMethod]:
    """The methods that learn. Raises CallerError if nothing that they learn is kept."""
    url, methods, config = recorded.directory.url, recorded.methods, recorded.config
    learners = methods_with_memory(methods)
    if has_sequential(methods):
        names = ", ".join(name for name, chosen in methods.items() if chosen.sequential)
        raise CallerError(f"SCAN {url!r} has no memory: what {names} learns in sequential order is not kept")
    if not learners:
        raise CallerError(
            f"SCAN {url!r} has no memory: none of its methods {', '.join(methods)} learns from the images"
        )
    if config.memory.freeze:
        raise CallerError(
            f"SCAN {url!r} has no memory of its own: it was scored against that of {config.memory.uri!r} "
            "(--freeze-memory) and has learned nothing; show that one"
        )
    return learners
