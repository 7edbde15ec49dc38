"""What a method remembers, row by row: how full the rows are, and which labels learned most. Free of torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ood_core.labels import LabelBank
from ood_core.memory import Candidates
from ood_core.methods import LearningMethod

EXAMPLES = 5
"""Images shown of a label."""
Image = tuple[str, float]
"""Key and priority."""


@dataclass(frozen=True)
class Rows:
    """Which row is which label's: those from `first` on, in the bank's order. Without a bank the rows are as many as
    hold images, and their labels are not known. `negatives`: whether negative labels have rows too."""

    capacities: np.ndarray
    first: int
    negatives: bool
    bank: LabelBank | None

    @classmethod
    def of(cls, name: str, chosen: LearningMethod, bank: LabelBank | None, last: int) -> "Rows":
        """`last`: the highest row that an image is in. Raises ValueError if there is no such row."""
        if bank is not None:
            sizes = chosen.capacities(len(bank.texts), bank.id_count, bank.image_embeddings is not None)
        else:
            labels = max(last + 1 - chosen.first_label_row, 0)
            sizes = chosen.capacities(labels, labels, False)
        if last >= len(sizes):
            raise ValueError(f"{name} has images in row {last}, and its last row is {len(sizes) - 1}")
        return cls(sizes, chosen.first_label_row, chosen.remembers_negatives, bank)

    def label(self, row: int) -> str | None:
        return None if self.bank is None else self.bank.texts[row - self.first]

    def role(self, row: int) -> str | None:
        if not self.negatives:
            return "id"
        return None if self.bank is None else "id" if row < self.bank.id_count else "negative"


@dataclass(frozen=True)
class Fill:
    """How many images each of some rows holds, of at most `capacity`. `whole`: empty rows are among them."""

    of: str
    capacity: int
    images: np.ndarray
    whole: bool

    @property
    def empty(self) -> int | None:
        return self.between(0, 0) if self.whole else None

    @property
    def full(self) -> int:
        return self.between(self.capacity, self.capacity) if self.capacity else 0

    @property
    def partly_filled(self) -> int:
        return self.between(1, self.capacity - 1)

    def between(self, fewest: int, most: int) -> int:
        """How many rows hold so many images."""
        return int(((self.images >= fewest) & (self.images <= most)).sum())

    def to_json(self) -> dict[str, Any]:
        """`rows_by_images`: how many rows hold so many images, where there are any."""
        numbers, rows = np.unique(self.images, return_counts=True)
        histogram = dict(zip(map(str, numbers.tolist()), rows.tolist(), strict=True))
        counts = {"empty": self.empty, "partly_filled": self.partly_filled, "full": self.full}
        return {"of": self.of, "capacity": self.capacity, **counts, "rows_by_images": histogram}


@dataclass(frozen=True)
class LearnedRow:
    """A label's row; the images of lowest priority first."""

    row: int
    label: str | None
    role: str | None
    images: int
    mean_priority: float
    examples: Sequence[Image]


def fills(rows: Rows, remembered: Candidates) -> list[Fill]:
    """Of the labels' rows; ID labels and negatives apart, where the bank tells which is which."""
    images = np.bincount(remembered.rows, minlength=len(rows.capacities))[rows.first :]
    if not len(images):
        return []
    size = int(rows.capacities[-1])
    if rows.bank is None:
        return [Fill("labels" if rows.negatives else "ID labels", size, images[images > 0], whole=False)]
    ids = rows.bank.id_count
    found = [Fill("ID labels", size, images[:ids], True), Fill("negative labels", size, images[ids:], True)]
    return found if rows.negatives else found[:1]


def learned_most(rows: Rows, remembered: Candidates, top: int) -> list[LearnedRow]:
    """The labels' rows with most images; of as many the one of lowest mean priority first, then the earlier one."""
    chosen, starts, counts = np.unique(remembered.rows, return_index=True, return_counts=True)
    found = []
    for row, start, count in zip(chosen.tolist(), starts.tolist(), counts.tolist(), strict=True):
        if row >= rows.first:
            found.append((-count, float(remembered.priorities[start : start + count].mean()), row, start))
    return [
        LearnedRow(row, rows.label(row), rows.role(row), -count, mean, some(remembered, start, min(-count, EXAMPLES)))
        for count, mean, row, start in sorted(found)[:top]
    ]


def some(remembered: Candidates, start: int, count: int) -> list[Image]:
    """So many images from `start` on."""
    priorities = remembered.priorities[start : start + count].tolist()
    return list(zip(remembered.keys[start : start + count], priorities, strict=True))
