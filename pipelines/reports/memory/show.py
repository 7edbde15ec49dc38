"""`oodscan memory show`: what a scan remembers of its images, and what that has cost. Free of torch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ood_core.labels import LabelBank
from ood_core.memory import Candidates
from pipelines.errors import CallerError
from pipelines.reports.memory.rows import Rows, fills, learned_most
from pipelines.reports.memory.scan import Learned
from pipelines.reports.memory.stored import Stored, of_method
from pipelines.reports.memory.tables import Inversions, OfMethod, by_method, tables_of
from pipelines.reports.tables import Report, Table
from pipelines.scan_directory.layout import INITIAL, MEMORY
from pipelines.scan_directory.record import reading
from pipelines.storage import Directory

TOP = 10


@dataclass(frozen=True)
class Shown:
    """The memory of a scan, by method; `shards`: how many it is of."""

    scan: Learned
    shards: int
    methods: Mapping[str, OfMethod]
    notes: Sequence[str]

    def report(self) -> Report:
        counts = {name: found.counts(self.scan.records) for name, found in self.methods.items()}
        tables = [
            Table("what it is", ("setting", "value"), list(self._about().items())),
            by_method("images", counts),
        ]
        if self.scan.last_run and self.scan.last_run.traffic:
            tables.append(
                by_method("traffic of the last run", {name: found.costs() for name, found in self.methods.items()})
            )
        tables += [table for name, found in self.methods.items() for table in tables_of(name, found)]
        return Report(f"memory of scan {self.scan.directory.url}", tables, self.notes)

    def to_json(self) -> dict[str, Any]:
        run = self.scan.last_run
        return {
            "scan": self.scan.directory.url,
            "label_bank": self.scan.config.labels,
            "shards": self.shards,
            "planned_shards": self.scan.planned,
            "records": self.scan.records,
            "initial_memory": self.scan.config.memory.uri,
            "last_run": run and {"images": run.images, "actors": run.actors, "actors_cpu_s": run.actors_cpu_s},
            "methods": {name: found.to_json() for name, found in self.methods.items()},
            "notes": list(self.notes),
        }

    def _about(self) -> dict[str, str]:
        scan, run = self.scan, self.scan.last_run
        about = {
            "methods": ", ".join(f"{name} ({found.order})" for name, found in self.methods.items()),
            "label bank": scan.config.labels,
            "shards remembered": f"{self.shards:,} of {scan.planned:,}",
        }
        if scan.records is not None:
            about["records"] = f"{scan.records:,}"
        about["began with"] = f"the memory of {scan.config.memory.uri}" if scan.config.memory.uri else "an empty memory"
        if run:
            about["last run"] = (
                f"{run.images:,} images; actors: {run.actors}, which took {run.actors_cpu_s:.2f} s of CPU"
            )
        return about


def show(directory: Directory, top: int = TOP) -> Shown:
    """What is remembered; of each method the `top` labels. Raises CallerError if there is no memory to show."""
    if top < 0:
        raise CallerError(f"--top {top} is below 0; it is how many labels to show of each method")
    scan, stored = Learned.read(directory), Stored.read(directory)
    if not stored.tables():
        raise CallerError(f"SCAN {directory.url!r} has no memory yet: none of its {scan.planned} shards is remembered")
    bank, notes = None, list(_notes(scan, stored))
    try:
        bank = scan.recorded.bank()
    except CallerError as error:
        notes.append(f"Rows are known by number only, and empty ones not at all: {error}.")
    methods = {name: _of_method(name, scan, stored, bank, top) for name in scan.learners}
    return Shown(scan, len(stored.shards), methods, notes)


def _notes(scan: Learned, stored: Stored) -> Iterator[str]:
    """What to know before any number."""
    if not scan.ended:
        yield (
            f"The scan has not ended: this is what {len(stored.shards)} of its {scan.planned} shards have come to, and "
            "there is no summary with records and traffic yet."
        )
    if stored.unmerged:
        yield f"{len(stored.unmerged)} shards' candidates are in no snapshot yet; they are merged here."
    if len(stored.candidates) < len(stored.shards):
        gone = len(stored.shards) - len(stored.candidates)
        yield f"{gone} shards' candidates are gone; what these have offered is not counted."
    if scan.config.memory.uri and stored.initial is None:
        yield f"{INITIAL} is not there, so what the scan began with is not counted."
    if scan.ended and scan.last_run is None:
        yield "The last run has found nothing left to do, so there is no traffic of it."
    elif scan.last_run and not scan.last_run.traffic:
        yield "The last run has offered nothing to the memory."


def _of_method(name: str, scan: Learned, stored: Stored, bank: LabelBank | None, top: int) -> OfMethod:
    chosen = scan.learners[name]
    with reading(scan.directory.url, MEMORY):
        rows = Rows.of(name, chosen, bank, stored.last_row(name))
    remembered = stored.remembered(name, rows.capacities)
    there = set(_images(remembered))
    offered = [image for table in stored.candidates.values() for image in _images(of_method(table, name))]
    initial = None if stored.initial is None else list(_images(of_method(stored.initial, name)))
    return OfMethod(
        order=chosen.learning_order,
        images=len(remembered),
        candidates=len(offered),
        candidates_remembered=len(there & set(offered)),
        initial=None if initial is None else len(initial),
        initial_remembered=None if initial is None else len(there & set(initial)),
        fills=fills(rows, remembered),
        learned_most=learned_most(rows, remembered, top),
        inversions=Inversions.of(chosen, remembered, stored.extra_negatives, top),
        traffic=scan.last_run.traffic.get(name) if scan.last_run else None,
    )


def _images(candidates: Candidates) -> Iterable[tuple[int, str, float]]:
    return zip(candidates.rows.tolist(), candidates.keys, candidates.priorities.tolist(), strict=True)
