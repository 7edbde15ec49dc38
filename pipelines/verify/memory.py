"""Checks a scan's memory: every image that a shard offered is in the snapshot if it belongs there, and no other is."""

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from ood_core.memory import Candidates, MemoryBank
from ood_core.methods import LearningMethod, learners_of
from pipelines.inputs.plan import Shard
from pipelines.memory.files import SHARDS_KEY, by_method, memory_files, memory_table, snapshot_file
from pipelines.memory.orders import methods_with_memory
from pipelines.scan_directory.layout import CANDIDATES, EXTRA_NEGATIVES, INITIAL, VERDICTS, shard_file
from pipelines.verify.recorded import Recorded
from pipelines.verify.shards import ScoreTable, check_unit
from pipelines.verify.tables import Inspection, UnfitError, required, vectors

IMAGES = pa.schema(
    required(
        method=pa.string(), row=pa.int64(), priority=pa.float64(), key=pa.string(), embedding=vectors(pa.float32())
    )
)
COUNTS = pa.schema(required(method=pa.string(), positive=pa.int64(), verdicts=pa.int64()))
UNIT_TOLERANCE = 1e-2
"""How far the length of a remembered embedding may be from 1: it was computed in as little as bfloat16."""


class MemoryCheck:
    """Goes over what the shards have offered, and holds it against the snapshot.

    `lacking`: by method, the files with images that the snapshot should have and has not; `whole`: whether all that was
    offered could be held against it.
    """

    def __init__(self, found: Inspection, scan: Recorded) -> None:
        self.found, self.learners = found, methods_with_memory(scan.methods)
        self.files = frozenset(memory_files(scan.config, scan.shards))
        self.adapting = learners_of(scan.methods) if shard_files(self.files, VERDICTS) else {}
        self.snapshot = snapshot_file(len(scan.shards))
        self.remembered: dict[str, Remembered] = {}
        self.lacking: dict[str, list[str]] = {}
        self.whole = True
        if not self.files:
            return
        self._read_snapshot({shard.id for shard in scan.shards})
        if INITIAL in self.files:
            self._offer(INITIAL, None)
        if EXTRA_NEGATIVES in self.files:
            self._check_extra_negatives()

    def look_at(self, shard: Shard, scores: ScoreTable | None) -> None:
        """Checks what a shard has offered. `scores`: None if its score table is not what it should be."""
        if self.files:
            self._offer(shard_file(CANDIDATES, shard.id), scores)
        name = shard_file(VERDICTS, shard.id)
        if name in self.files and (table := self.found.table(name, COUNTS)) is not None:
            with self.found.checking(name):
                self._check_verdicts(table, scores)

    def compare(self) -> None:
        """Adds a problem for each method whose images are not those of the shards, once all have been looked at."""
        for name, remembered in self.remembered.items():
            if files := self.lacking.get(name):
                others = f" and of {len(files) - 1} other files" if len(files) > 1 else ""
                why = f": it lacks images of {files[0]}{others}"
            elif self.whole and remembered.not_offered:
                why = ": it has images that no shard has offered"
            else:
                continue
            self.found.problems.append(f"{self.snapshot} is not what the candidates of {name} come to{why}")

    def _read_snapshot(self, shards: set[str]) -> None:
        table = self.found.table(self.snapshot, IMAGES)
        if table is None:
            return
        with self.found.checking(self.snapshot):
            if set(json.loads((table.schema.metadata or {}).get(SHARDS_KEY, b"[]"))) != shards:
                raise UnfitError("it is not of the shards that are planned")
            self._check_methods(table)
            check_unit(table["embedding"], UNIT_TOLERANCE)
            for name, images in by_method(table, self.learners, self.found.dimensions[self.snapshot]).items():
                self.remembered[name] = Remembered.of(name, self.learners[name], images)

    def _offer(self, file: str, scores: ScoreTable | None) -> None:
        table, before = self.found.table(file, IMAGES), self.whole
        self.whole = False
        if table is None:
            return
        with self.found.checking(file):
            if file != INITIAL:  # which may hold more than this scan goes on with
                self._check_methods(table)
            check_unit(table["embedding"], UNIT_TOLERANCE)
            if scores and set(table["key"].to_pylist()).difference(scores.good_keys()):
                raise UnfitError("there are images that have no scores in its score table")
            dim = self.found.dimensions[file]
            if dim != self.found.dimensions.get(self.snapshot, dim):  # which `check_dimensions` says
                return
            for name, images in by_method(table, self.remembered, dim).items():
                if self.remembered[name].lacks(images):
                    self.lacking.setdefault(name, []).append(file)
            self.whole = before

    def _check_methods(self, table: pa.Table) -> None:
        for name in set(table["method"].to_pylist()) - self.learners.keys():
            raise UnfitError(f"there are images for {name!r}, a method that remembers nothing")

    def _check_extra_negatives(self) -> None:
        """The images that were turned into words must be among those that were remembered for it."""
        table = self.found.table(EXTRA_NEGATIVES, IMAGES)
        if table is None or not self.remembered:
            return
        with self.found.checking(EXTRA_NEGATIVES):
            check_unit(table["embedding"], UNIT_TOLERANCE)
            inverting = {name: chosen for name, chosen in self.learners.items() if chosen.inverts}
            for method, row, key in zip(*(table[name].to_pylist() for name in ("method", "row", "key")), strict=True):
                if row != 0 or method not in inverting or key not in self.remembered[method].to_invert:
                    raise UnfitError(f"there is an image {key!r} that {self.snapshot} has not to be inverted")

    def _check_verdicts(self, table: pa.Table, scores: ScoreTable | None) -> None:
        adapting = sorted(name for name, chosen in self.adapting.items() if chosen.adapts)
        if sorted(table["method"].to_pylist()) != adapting:
            raise UnfitError(f"the methods are not {', '.join(adapting)}")
        for positive, verdicts in zip(table["positive"].to_pylist(), table["verdicts"].to_pylist(), strict=True):
            if not 0 <= positive <= verdicts or (scores and verdicts > len(scores.good)):
                raise UnfitError(f"{positive} of {verdicts} verdicts cannot be")


class Remembered:
    """What a snapshot holds of one method, and which of it nobody has offered yet.

    Rows of the memory are numbered anew, those alone that the snapshot has: a file may claim any number.
    """

    def __init__(self, chosen: LearningMethod, images: Candidates) -> None:
        self.chosen, self.rows = chosen, np.unique(images.rows)
        self.capacities = chosen.capacities(1, 1, False)  # of the first rows, and of one row of a label
        self.bank = MemoryBank(self._capacities(self.rows), images.embeddings.shape[1])
        self.bank.offer(self._renumbered(images))
        self.not_offered = set(_each(images))
        self.to_invert = frozenset(chosen.to_invert(images).keys) if chosen.inverts else frozenset[str]()

    @classmethod
    def of(cls, name: str, chosen: LearningMethod, images: Candidates) -> "Remembered":
        """Raises UnfitError if the images are not in the order of a memory, or too many for it."""
        found = cls(chosen, images)
        kept = found.bank.snapshot()
        if not memory_table(name, found._renumbered(images)).equals(memory_table(name, kept)):
            raise UnfitError(f"the images of {name} are not as a memory keeps them")
        return found

    def lacks(self, offered: Candidates) -> bool:
        """Whether one of the images offered would have entered the memory, and is not in it."""
        self.not_offered.difference_update(_each(offered))
        known = np.isin(offered.rows, self.rows)
        entered = self.bank.offer(self._renumbered(offered.take(np.flatnonzero(known))))
        return bool(entered) or bool(self._capacities(offered.rows[~known]).any())

    def _renumbered(self, images: Candidates) -> Candidates:
        rows = np.searchsorted(self.rows, images.rows)
        return Candidates(rows, images.priorities, images.keys, images.embeddings)

    def _capacities(self, rows: np.ndarray) -> np.ndarray:
        if rows.min(initial=0) < 0:
            raise UnfitError(f"there is an image for row {rows.min()}")
        return self.capacities[np.minimum(rows, self.chosen.first_label_row)]


def shard_files(names: frozenset[str], folder: str) -> list[str]:
    """Those of the files that lie in a folder with one file a shard."""
    return [name for name in names if name.startswith(f"{folder}/")]


def _each(images: Candidates) -> Iterator[tuple[int, float, str, bytes]]:
    embeddings = np.ascontiguousarray(images.embeddings, np.float32)
    for row, priority, key, embedding in zip(
        images.rows.tolist(), images.priorities.tolist(), images.keys, embeddings, strict=True
    ):
        yield row, priority, key, embedding.tobytes()
