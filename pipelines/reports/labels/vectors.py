"""Whether the labels that two banks share have the same embeddings, and the same order. Free of torch."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from ood_core.labels import LabelBank

TOLERANCE = 1e-6
"""Embeddings count as the same if no number differs by more than this."""
LABELS_AT_ONCE = 4096


@dataclass(frozen=True)
class Vectors:
    """A comparison of the embeddings of the labels that are in both banks.

    `differing`: how many of those compared differ; `largest`: the largest difference of two numbers.
    """

    compared: int
    differing: int
    largest: float

    def described(self, what: str) -> str:
        if not self.differing and not self.largest:
            return f"The {what} of the {self.compared:,} labels in both are the same."
        return (
            f"Of the {self.compared:,} labels in both, {self.differing:,} have {what} that differ by more than "
            f"{TOLERANCE:g}; the largest difference is {self.largest:.3g}."
        )


def embeddings(one: LabelBank, other: LabelBank) -> Vectors | None:
    """The text embeddings of two banks compared; None if their dimensions differ."""
    if one.dim != other.dim:
        return None
    return _compared(one.embeddings, other.embeddings, _keys(one), _keys(other))


def image_embeddings(one: LabelBank, other: LabelBank) -> Vectors | None:
    """The image embeddings of two banks compared; None if not both have them, of one dimension."""
    if one.image_embeddings is None or other.image_embeddings is None or one.dim != other.dim:
        return None
    return _compared(one.image_embeddings, other.image_embeddings, _keys(one), _keys(other))


def orders_differing(one: LabelBank, other: LabelBank) -> list[str]:
    """The kinds of labels whose order differs between the banks, among the labels that are in both."""
    keys = _keys(one), _keys(other)
    both = set(keys[0]) & set(keys[1])
    found = []
    for what, is_id in (("ID labels", True), ("negative labels", False)):
        rows = [[key for key in of_one if key in both and (key[0] == "id") == is_id] for of_one in keys]
        found += [what] if rows[0] != rows[1] else []
    return found


def _keys(bank: LabelBank) -> list[tuple[str, str]]:
    """A key for each label of the bank: its role, with the part of speech of a negative label, and its text."""
    roles = ["id"] * bank.id_count + [f"negative {part}" for part in bank.parts[bank.id_count :]]
    return list(zip(roles, bank.texts, strict=True))


def _compared(one: np.ndarray, other: np.ndarray, keys: Sequence[Hashable], others: Sequence[Hashable]) -> Vectors:
    """Compares the rows of equal keys. Of a repeated key the last counts; keys beyond the rows are left out."""
    rows = dict(zip(others, range(len(other)), strict=False))
    both = [(row, rows[key]) for key, row in dict(zip(keys, range(len(one)), strict=False)).items() if key in rows]
    differing, largest = 0, 0.0
    for start in range(0, len(both), LABELS_AT_ONCE):
        mine, its = np.array(both[start : start + LABELS_AT_ONCE]).T
        differences = np.abs(one[mine] - other[its]).max(axis=1)
        differing += int((differences > TOLERANCE).sum())
        largest = max(largest, float(differences.max()))
    return Vectors(len(both), differing, largest)
