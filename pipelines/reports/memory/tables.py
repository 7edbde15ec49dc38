"""What one method remembers, and how it is told. Free of torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ood_core.memory import Candidates
from ood_core.methods import LearningMethod, Order
from pipelines.reports.memory.rows import Fill, Image, LearnedRow, some
from pipelines.reports.tables import Cell, Table


@dataclass(frozen=True)
class Inversions:
    """Of InterNeg: how many images are to be turned into words, of at most `capacity`, and those of lowest score; how
    many extra negatives came of it, None if that was not yet done."""

    images: int
    capacity: int
    lowest: Sequence[Image]
    extra_negatives: int | None

    @classmethod
    def of(
        cls, chosen: LearningMethod, remembered: Candidates, extra_negatives: int | None, top: int
    ) -> "Inversions | None":
        if not chosen.inverts:
            return None
        asked = chosen.to_invert(remembered)
        capacity = int(chosen.capacities(0, 0, True)[0])
        return cls(len(asked), capacity, some(asked, 0, min(top, len(asked))), extra_negatives)


@dataclass(frozen=True)
class OfMethod:
    """What a method remembers. `candidates` of the shards, and images that the scan began with (`initial`; None: it
    began with none), each with how many of them are remembered. `traffic`: `Meters.NAMES` of the last run."""

    order: Order | None
    images: int
    candidates: int
    candidates_remembered: int
    initial: int | None
    initial_remembered: int | None
    fills: Sequence[Fill]
    learned_most: Sequence[LearnedRow]
    inversions: Inversions | None
    traffic: Mapping[str, int] | None

    def counts(self, records: int | None) -> dict[str, Cell]:
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
        """Of the last run."""
        if self.traffic is None:
            return {}
        told = {
            "calls": "calls", "images offered": "offered", "images entered": "entered", "bytes offered": "bytes",
            "publications": "published", "bytes published": "published_bytes",
        }  # fmt: skip
        return {
            **{name: self.traffic[count] for name, count in told.items()},
            "share of offers rejected": self.rejected,
        }

    @property
    def rejected(self) -> float | None:
        """The share of the last run's offers that did not enter."""
        return None if self.traffic is None else _share(self.traffic["entered"], self.traffic["offered"])

    def to_json(self) -> dict[str, Any]:
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
    """A column a method; lines that say nothing are left out."""
    names = dict.fromkeys(name for of_method in counts.values() for name in of_method)
    rows = [(name, *(of_method.get(name) for of_method in counts.values())) for name in names]
    return Table(heading, ("", *counts), [row for row in rows if any(cell is not None for cell in row[1:])])


def tables_of(name: str, found: OfMethod) -> Iterator[Table]:
    """How full a method's rows are, which labels learned most, and which images are turned into words."""
    if found.fills:
        yield _fill_table(f"{name}: rows by how many images they hold", found.fills)
    if found.learned_most:
        heading = f"{name}: labels that learned most: by number of images, then by lowest mean priority (entropy)"
        yield _learned_table(heading, found.learned_most)
    if found.inversions:
        of = found.inversions
        heading = f"{name}: images to turn into words ({of.images:,}, at most {of.capacity:,}), by lowest score"
        yield Table(heading, ("image", "score") if of.lowest else (), of.lowest)


def _fill_table(heading: str, fills: Sequence[Fill]) -> Table:
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
    return Table(heading, ("", *(fill.of for fill in fills)), rows)


def _bins(capacity: int) -> Iterator[tuple[int, int]]:
    """Numbers of images of rows that are neither empty nor full: 1, 2 to 3, 4 to 7 and so on."""
    fewest = 1
    while fewest < capacity:
        yield fewest, min(2 * fewest, capacity) - 1
        fewest *= 2


def _learned_table(heading: str, learned: Sequence[LearnedRow]) -> Table:
    """A line an image; what is said of its label stands in the first one."""
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
    """What is left of the whole without the part."""
    return 1 - part / whole if whole else None


def _keyed(images: Sequence[Image]) -> list[dict[str, Any]]:
    return [{"key": key, "priority": priority} for key, priority in images]
