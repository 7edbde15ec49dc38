"""Of which scan a memory is, and what its last run has cost. Free of torch."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ood_core.labels import LabelBank
from ood_core.methods import is_sequential
from pipelines.config import Rescore, Scan
from pipelines.errors import CallerError, first_line
from pipelines.identity import PLAN_FILE, SCAN_FILE
from pipelines.label_files import load_bank
from pipelines.learning import Learners, is_in_order, learners_of
from pipelines.memory_actor import Meters
from pipelines.outcome import SUMMARY_FILE
from pipelines.storage import Directory


@dataclass(frozen=True)
class LastRun:
    """What the last run's actors did: how many there were, their CPU time, and `Meters.NAMES` by method."""

    images: int
    actors: int
    actors_cpu_s: float
    traffic: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(cls, memory: Mapping[str, Any], learners: Learners) -> "LastRun":
        """`memory`: as `summary.json` has it."""
        traffic = {
            name: {count: int(memory[name].get(count, 0)) for count in Meters.NAMES}
            for name in learners
            if name in memory
        }
        return cls(int(memory["images"]), int(memory["actors"]), float(memory["actors_cpu_s"]), traffic)


@dataclass(frozen=True)
class Recorded:
    """A scan that learns. `ended`: whether there is a summary, which `records` and `last_run` are from."""

    directory: Directory
    config: Scan | Rescore
    labels_hash: str
    learners: Learners
    planned: int
    ended: bool
    records: int | None
    last_run: LastRun | None

    @classmethod
    def read(cls, directory: Directory) -> "Recorded":
        """Raises CallerError if there is no scan, or none that keeps a memory."""
        url = directory.url
        try:
            with reading(url, SCAN_FILE):
                recorded = json.loads(directory.read(SCAN_FILE))
                identity = recorded["identity"]
                config = (Rescore if identity.get("command") == "rescore" else Scan)(**recorded["config"])
                labels_hash, learners = identity["labels"], _learners(url, config)
            with reading(url, PLAN_FILE):
                planned = pq.read_metadata(pa.BufferReader(directory.read(PLAN_FILE))).num_rows
        except (FileNotFoundError, NotADirectoryError) as error:
            raise CallerError(
                f"SCAN {url!r} is not a scan directory: it has no {SCAN_FILE} or no {PLAN_FILE}"
            ) from error
        with reading(url, SUMMARY_FILE):
            if not directory.exists(SUMMARY_FILE):
                return cls(directory, config, labels_hash, learners, planned, False, None, None)
            summary = json.loads(directory.read(SUMMARY_FILE))
            memory = summary["last_run"].get("memory")
            last_run = None if memory is None else LastRun.of(memory, learners)
            return cls(directory, config, labels_hash, learners, planned, True, int(summary["records"]), last_run)

    def bank(self) -> LabelBank:
        """The label bank. Raises CallerError if it cannot be read, or is not the one that the scan was made with."""
        place = Directory(self.config.labels, self.directory.options)
        try:
            bank = load_bank(place, "the label bank")
        except CallerError:
            raise
        except Exception as error:  # every file system has errors of its own
            raise CallerError(f"the label bank {place.url!r} cannot be read: {first_line(error)}") from error
        if bank.content_hash() != self.labels_hash:
            raise CallerError(f"the label bank {place.url!r} has changed since the scan was made")
        return bank


@contextmanager
def reading(url: str, name: str) -> Iterator[None]:
    """Raises CallerError, naming the file, for whatever is wrong with it but that it is not there."""
    try:
        yield
    except (CallerError, FileNotFoundError, NotADirectoryError):
        raise
    except Exception as error:  # every file system has errors of its own
        raise CallerError(f"SCAN {url!r} cannot be read: {name}: {first_line(error)}") from error


def _learners(url: str, config: Scan | Rescore) -> Learners:
    """The methods that learn. Raises CallerError if nothing that they learn is kept."""
    try:
        methods = config.methods()
    except CallerError as error:
        raise CallerError(f"SCAN {url!r} cannot be read: {SCAN_FILE}: {error}") from error
    learners = {**learners_of(methods), **learners_of(methods, "streaming")}
    if is_in_order(methods):
        names = ", ".join(name for name, chosen in methods.items() if is_sequential(chosen))
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
