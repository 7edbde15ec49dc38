"""The rows of a method's memory: how full they are, and which labels have most images. Free of torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ood_core.labels import LabelBank
from ood_core.memory import Candidates
from ood_core.methods import LearningMethod

EXAMPLES = 5
"""How many images are shown of a label."""
Image = tuple[str, float]
"""An image's key and its priority in the memory; the lowest are kept."""


@dataclass(frozen=True)
class MemoryRows:
    """The rows of a method's memory, and which label each is for.

    `capacities`: how many images each row can hold. Rows from `first` on are for labels, in the order of the bank;
    `negatives`: whether negative labels have rows too. Without a bank the labels are unknown, and the rows are taken to
    end with the last that holds an image.
    """

    capacities: np.ndarray
    first: int
    negatives: bool
    bank: LabelBank | None

    @classmethod
    def of(cls, name: str, chosen: LearningMethod, bank: LabelBank | None, last: int) -> "MemoryRows":
        """The rows of the method `name`, whose parameters are `chosen`.

        `last`: the highest row that holds an image. Raises ValueError if the method has fewer rows.
        """
        if bank is not None:
            sizes = chosen.capacities(len(bank.texts), bank.id_count, bank.image_embeddings is not None)
        else:
            labels = max(last + 1 - chosen.first_label_row, 0)
            sizes = chosen.capacities(labels, labels, False)
        if last >= len(sizes):
            raise ValueError(f"{name} has images in row {last}, and its last row is {len(sizes) - 1}")
        return cls(sizes, chosen.first_label_row, chosen.remembers_negatives, bank)

    def label(self, row: int) -> str | None:
        """The label of a row, None without a bank."""
        return None if self.bank is None else self.bank.texts[row - self.first]

    def role(self, row: int) -> str | None:
        """`id` or `negative`, the role of a row's label; None if only a bank could tell."""
        if not self.negatives:
            return "id"
        return None if self.bank is None else "id" if row < self.bank.id_count else "negative"


@dataclass(frozen=True)
class Fill:
    """How full some rows of a memory are.

    `labels`: what to call the labels that the rows are for; `capacity`: the most images that a row can hold; `images`:
    how many each row holds; `whole`: whether empty rows are among them.
    """

    labels: str
    capacity: int
    images: np.ndarray
    whole: bool

    @property
    def empty(self) -> int | None:
        """How many rows hold no image, None if that is not known."""
        return self.between(0, 0) if self.whole else None

    @property
    def full(self) -> int:
        """How many rows hold as many images as they can."""
        return self.between(self.capacity, self.capacity) if self.capacity else 0

    @property
    def partly_filled(self) -> int:
        """How many rows are neither empty nor full."""
        return self.between(1, self.capacity - 1)

    def between(self, fewest: int, most: int) -> int:
        """How many rows hold at least `fewest` and at most `most` images."""
        return int(((self.images >= fewest) & (self.images <= most)).sum())

    def to_json(self) -> dict[str, Any]:
        """The counts as JSON; `rows_by_images`: how many rows hold each number of images that occurs."""
        numbers, rows = np.unique(self.images, return_counts=True)
        histogram = dict(zip(map(str, numbers.tolist()), rows.tolist(), strict=True))
        counts = {"empty": self.empty, "partly_filled": self.partly_filled, "full": self.full}
        return {"of": self.labels, "capacity": self.capacity, **counts, "rows_by_images": histogram}


@dataclass(frozen=True)
class LabelRow:
    """The row of a label: how many images it holds, and some of them (`examples`), of lowest priority first."""

    row: int
    label: str | None
    role: str | None
    images: int
    mean_priority: float
    examples: Sequence[Image]


def fills(rows: MemoryRows, remembered: Candidates) -> list[Fill]:
    """How full the rows of labels are: those of ID labels, then those of negatives if these have rows.

    Without a bank both are counted as one. Empty if no label has a row.
    """
    images = np.bincount(remembered.rows, minlength=len(rows.capacities))[rows.first :]
    if not len(images):
        return []
    size = int(rows.capacities[-1])
    if rows.bank is None:
        return [Fill("labels" if rows.negatives else "ID labels", size, images[images > 0], whole=False)]
    ids = rows.bank.id_count
    found = [Fill("ID labels", size, images[:ids], True), Fill("negative labels", size, images[ids:], True)]
    return found if rows.negatives else found[:1]


def learned_most(rows: MemoryRows, remembered: Candidates, top: int) -> list[LabelRow]:
    """The `top` rows of labels that hold most images.

    Of rows with as many images the one of lower mean priority comes first, then the earlier one.
    """
    filled, starts, counts = np.unique(remembered.rows, return_index=True, return_counts=True)
    found = []
    for row, start, count in zip(filled.tolist(), starts.tolist(), counts.tolist(), strict=True):
        if row >= rows.first:
            mean = float(remembered.priorities[start : start + count].mean())
            examples = keyed_priorities(remembered, start, min(count, EXAMPLES))
            found.append(LabelRow(row, rows.label(row), rows.role(row), count, mean, examples))
    return sorted(found, key=lambda one: (-one.images, one.mean_priority, one.row))[:top]


def keyed_priorities(remembered: Candidates, start: int, count: int) -> list[Image]:
    """The keys and priorities of `count` images from position `start` on."""
    priorities = remembered.priorities[start : start + count].tolist()
    return list(zip(remembered.keys[start : start + count], priorities, strict=True))
