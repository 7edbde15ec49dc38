"""The tables and JSON of the report on one method's memory. Free of torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ood_core.memory import Candidates
from ood_core.methods import LearningMethod, Order
from pipelines.reports.memory.rows import Fill, Image, LabelRow, keyed_priorities
from pipelines.reports.tables import Cell, Table


@dataclass(frozen=True)
class Inversions:
    """The images that InterNeg turns into words to make extra negatives from.

    `images`: how many there are, at most `capacity`; `lowest`: those of lowest score; `extra_negatives`: how many came
    of it, None if that was not yet done.
    """

    images: int
    capacity: int
    lowest: Sequence[Image]
    extra_negatives: int | None

    @classmethod
    def of(
        cls, chosen: LearningMethod, remembered: Candidates, extra_negatives: int | None, top: int
    ) -> "Inversions | None":
        """The inversions of a method that remembers these images, `top` of them shown; None if it makes none."""
        if not chosen.inverts:
            return None
        to_invert = chosen.to_invert(remembered)
        capacity = int(chosen.capacities(0, 0, True)[0])
        lowest = keyed_priorities(to_invert, 0, min(top, len(to_invert)))
        return cls(len(to_invert), capacity, lowest, extra_negatives)


@dataclass(frozen=True)
class MethodMemory:
    """What one method remembers, in numbers and examples.

    `images`: how many it remembers; `candidates`: how many the shards offered; `initial`: how many the scan began with,
    None if with no memory; `…_remembered`: how many of these are in the memory; `fills`: how full the rows are;
    `learned_most`: the labels with most images; `traffic`: the counts `Meters.NAMES` of the last run.
    """

    order: Order | None
    images: int
    candidates: int
    candidates_remembered: int
    initial: int | None
    initial_remembered: int | None
    fills: Sequence[Fill]
    learned_most: Sequence[LabelRow]
    inversions: Inversions | None
    traffic: Mapping[str, int] | None

    def counts(self, records: int | None) -> dict[str, Cell]:
        """The named counts of images, some of them relative to the number of records of the scan."""
        return {
            "remembered": self.images,
            "candidates of the shards": self.candidates,
            "candidates a record": self.candidates / records if records else None,
            "candidates remembered": self.candidates_remembered,
            "share of candidates not remembered": _share(self.candidates_remembered, self.candidates),
            "of the initial memory": self.initial,
            "of these still remembered": self.initial_remembered,
            "extra negatives": self.inversions.extra_negatives if self.inversions else None,
        }

    def costs(self) -> dict[str, Cell]:
        """The named counts of the last run's traffic; none if there was none."""
        if self.traffic is None:
            return {}
        labels = {
            "calls": "calls", "images offered": "offered", "images entered": "entered", "bytes offered": "bytes",
            "publications": "published", "bytes published": "published_bytes",
        }  # fmt: skip
        return {
            **{name: self.traffic[count] for name, count in labels.items()},
            "share of offers rejected": self.rejected,
        }

    @property
    def rejected(self) -> float | None:
        """The share of the images offered in the last run that did not enter the memory, 0 to 1."""
        return None if self.traffic is None else _share(self.traffic["entered"], self.traffic["offered"])

    def to_json(self) -> dict[str, Any]:
        """The method's memory as JSON."""
        learned = [{**vars(one), "examples": _keyed(one.examples)} for one in self.learned_most]
        inversions = self.inversions and {**vars(self.inversions), "lowest": _keyed(self.inversions.lowest)}
        rows = [fill.to_json() for fill in self.fills]
        return {
            **vars(self),
            "fills": rows,
            "learned_most": learned,
            "inversions": inversions,
            "rejected": self.rejected,
        }


def by_method(heading: str, counts: Mapping[str, Mapping[str, Cell]]) -> Table:
    """A table with a column for each method and a row for each name; rows of blanks are left out."""
    names = dict.fromkeys(name for named in counts.values() for name in named)
    rows = [(name, *(named.get(name) for named in counts.values())) for name in names]
    return Table(heading, ("", *counts), [row for row in rows if any(cell is not None for cell in row[1:])])


def tables_of(name: str, found: MethodMemory) -> Iterator[Table]:
    """The tables of a method: how full its rows are, which labels learned most, which images are turned into words."""
    if found.fills:
        yield _fill_table(f"{name}: rows by how many images they hold", found.fills)
    if found.learned_most:
        heading = f"{name}: labels that learned most: by number of images, then by lowest mean priority (entropy)"
        yield _learned_table(heading, found.learned_most)
    if found.inversions:
        inversions = found.inversions
        counted = f"{inversions.images:,}, at most {inversions.capacity:,}"
        heading = f"{name}: images to turn into words ({counted}), by lowest score"
        yield Table(heading, ("image", "score") if inversions.lowest else (), inversions.lowest)


def _fill_table(heading: str, fills: Sequence[Fill]) -> Table:
    """A table of how many rows hold how many images, with a column for each of `fills`."""
    capacity = fills[0].capacity
    rows: list[tuple[Cell, ...]] = []
    if all(fill.whole for fill in fills):
        rows = [("rows", *(len(fill.images) for fill in fills)), ("empty", *(fill.empty for fill in fills))]
    rows.append(("partly filled", *(fill.partly_filled for fill in fills)))
    for fewest, most in _bins(capacity):
        span = f"{fewest}" if fewest == most else f"{fewest}–{most}"
        rows.append((f"  of {span}", *(fill.between(fewest, most) for fill in fills)))
    rows.append((f"full, of {capacity:,}", *(fill.full for fill in fills)))
    rows.append(("images", *(int(fill.images.sum()) for fill in fills)))
    return Table(heading, ("", *(fill.labels for fill in fills)), rows)


def _bins(capacity: int) -> Iterator[tuple[int, int]]:
    """The least and most images of each bin of rows neither empty nor full: 1, 2 to 3, 4 to 7 and so on."""
    fewest = 1
    while fewest < capacity:
        yield fewest, min(2 * fewest, capacity) - 1
        fewest *= 2


def _learned_table(heading: str, learned: Sequence[LabelRow]) -> Table:
    """A table with a row for each example; what is said of its label stands in the label's first row."""
    labelled = learned[0].label is not None
    header = ("label", "role", "row") if labelled else ("row",)
    rows: list[tuple[Cell, ...]] = []
    for one in learned:
        about: tuple[Cell, ...] = (one.label, one.role, one.row) if labelled else (one.row,)
        about = (*about, one.images, one.mean_priority)
        for number, (key, priority) in enumerate(one.examples):
            rows.append((*(about if number == 0 else [None] * len(about)), key, priority))
    return Table(heading, (*header, "images", "mean priority", "image", "its priority"), rows)


def _share(part: int, whole: int) -> float | None:
    """The share of the whole that is not in the part, 0 to 1; None if the whole is 0."""
    return 1 - part / whole if whole else None


def _keyed(images: Sequence[Image]) -> list[dict[str, Any]]:
    """Images as JSON."""
    return [{"key": key, "priority": priority} for key, priority in images]
