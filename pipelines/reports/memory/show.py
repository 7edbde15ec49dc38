"""`oodscan memory show`: what a scan remembers of its images, and what that has cost. Free of torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ood_core.labels import LabelBank
from ood_core.memory import Candidates
from pipelines.errors import CallerError
from pipelines.reports.memory.rows import MemoryRows, fills, learned_most
from pipelines.reports.memory.scan import LearningScan
from pipelines.reports.memory.stored import StoredMemory, method_candidates
from pipelines.reports.memory.tables import Inversions, MethodMemory, by_method, tables_of
from pipelines.reports.scan_inputs import bank_or_note, check_top
from pipelines.reports.tables import Report, Table
from pipelines.scan_directory.layout import INITIAL, MEMORY
from pipelines.scan_directory.record import reading
from pipelines.storage import Directory

TOP = 10
"""How many labels are shown of each method unless `--top` says otherwise."""


@dataclass(frozen=True)
class MemoryReport:
    """The report on a scan's memory.

    `shards`: how many shards' images it was chosen from; `methods`: what each method remembers, by name; `notes`: what
    to know before any number.
    """

    scan: LearningScan
    shards: int
    methods: Mapping[str, MethodMemory]
    notes: Sequence[str]

    def report(self) -> Report:
        """The report as tables."""
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
        """The report as JSON."""
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
        """What the memory is, in a few named values."""
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


def show(directory: Directory, top: int = TOP) -> MemoryReport:
    """The report on the memory of a scan, with the `top` labels that learned most of each method.

    Raises CallerError if the scan has no memory, or a file of it cannot be read.
    """
    check_top(top, "labels to show of each method")
    scan, stored = LearningScan.read(directory), StoredMemory.read(directory)
    if not stored.tables():
        raise CallerError(f"SCAN {directory.url!r} has no memory yet: none of its {scan.planned} shards is remembered")
    bank, without_bank = bank_or_note(scan.record, "Rows are known by number only, and empty ones not at all")
    methods = {name: _method_memory(name, scan, stored, bank, top) for name in scan.learners}
    return MemoryReport(scan, len(stored.shards), methods, [*_notes(scan, stored), *without_bank])


def _notes(scan: LearningScan, stored: StoredMemory) -> Iterator[str]:
    """The notes on what the scan's directory lacks."""
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


def _method_memory(
    name: str, scan: LearningScan, stored: StoredMemory, bank: LabelBank | None, top: int
) -> MethodMemory:
    """What a method remembers, from the stored tables. Raises CallerError if an image is in a row there is not."""
    chosen = scan.learners[name]
    with reading(scan.directory.url, MEMORY):
        rows = MemoryRows.of(name, chosen, bank, stored.last_row(name))
    remembered = stored.remembered(name, rows.capacities)
    kept = set(_images(remembered))
    offered = [image for table in stored.candidates.values() for image in _images(method_candidates(table, name))]
    initial = None if stored.initial is None else list(_images(method_candidates(stored.initial, name)))
    return MethodMemory(
        order=chosen.learning_order,
        images=len(remembered),
        candidates=len(offered),
        candidates_remembered=len(kept & set(offered)),
        initial=None if initial is None else len(initial),
        initial_remembered=None if initial is None else len(kept & set(initial)),
        fills=fills(rows, remembered),
        learned_most=learned_most(rows, remembered, top),
        inversions=Inversions.of(chosen, remembered, stored.extra_negatives, top),
        traffic=scan.last_run.traffic.get(name) if scan.last_run else None,
    )


def _images(candidates: Candidates) -> Iterator[tuple[int, str, float]]:
    """The row, key and priority of each image, by which one image is told from another."""
    return zip(candidates.rows.tolist(), candidates.keys, candidates.priorities.tolist(), strict=True)
