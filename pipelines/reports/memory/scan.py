"""A scan with methods that learn, as its directory records it, and what its last run did. Free of torch."""

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
    """What the memory's actors did in the last run of a scan.

    `images`: how many the run went over; `actors`, `actors_cpu_s`: how many actors there were, and their seconds of CPU
    time; `traffic`: the counts `Meters.NAMES` of each method.
    """

    images: int
    actors: int
    actors_cpu_s: float
    traffic: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(cls, memory: Mapping[str, Any], learners: Mapping[str, LearningMethod]) -> "LastRun":
        """The last run from what `summary.json` says of the memory, for the methods that learn."""
        traffic = {
            name: {count: int(memory[name].get(count, 0)) for count in Meters.NAMES}
            for name in learners
            if name in memory
        }
        return cls(int(memory["images"]), int(memory["actors"]), float(memory["actors_cpu_s"]), traffic)


@dataclass(frozen=True)
class LearningScan:
    """A scan that keeps a memory of its images.

    `learners`: its methods that learn. `ended`: whether the scan has a summary; without one `records`, the number of
    its records, and `last_run` are None, and `last_run` also if the last run had nothing to do.
    """

    record: ScanRecord
    learners: Mapping[str, LearningMethod]
    ended: bool
    records: int | None
    last_run: LastRun | None

    @classmethod
    def read(cls, directory: Directory) -> "LearningScan":
        """The scan in a directory. Raises CallerError if there is none, or none that keeps a memory."""
        record = ScanRecord.read(directory)
        learners = _learners(record)
        with reading(directory.url, SUMMARY_FILE):
            if not directory.exists(SUMMARY_FILE):
                return cls(record, learners, False, None, None)
            summary = json.loads(directory.read(SUMMARY_FILE))
            memory = summary["last_run"].get("memory")
            last_run = None if memory is None else LastRun.of(memory, learners)
            return cls(record, learners, True, int(summary["records"]), last_run)

    @property
    def directory(self) -> Directory:
        return self.record.directory

    @property
    def config(self) -> Scan | Rescore:
        return self.record.config

    @property
    def planned(self) -> int:
        """How many shards the scan has in all."""
        return len(self.record.shards)


def _learners(record: ScanRecord) -> Mapping[str, LearningMethod]:
    """The scan's methods that learn, by name. Raises CallerError if there are none, or what they learn is not kept."""
    url, methods, config = record.directory.url, record.methods, record.config
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
