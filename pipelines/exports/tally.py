"""Counts what an export keeps and drops: records and bytes, by reason and by shard."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pipelines.exports.choice import Decided
from pipelines.inputs.plan import Shard

KEPT = "kept"


class Amount(NamedTuple):
    """How many records, and how many bytes their images take."""

    records: int = 0
    bytes: int = 0

    def plus(self, other: "Amount") -> "Amount":
        return Amount(self.records + other.records, self.bytes + other.bytes)


@dataclass
class Tally:
    """What is kept, and what is dropped by reason. `shards`: as planned.

    `amounts`: by reason, `KEPT` of what has none. `by_shard`: the same of each shard, if `each` is asked for.
    """

    shards: Sequence[Shard]
    each: bool = False
    amounts: dict[str, Amount] = field(default_factory=dict)
    by_shard: dict[str, dict[str, Amount]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._file_rows = Counter[str]()
        for shard in self.shards:
            self._file_rows[shard.urls[0]] += shard.rows or 0

    def add(self, decided: Decided) -> None:
        """Adds the rows of one shard."""
        found = amounts_of(decided, self._file_rows[decided.shard.urls[0]])
        for reason, amount in found.items():
            self.amounts[reason] = self.amounts.get(reason, Amount()).plus(amount)
        if self.each:
            self.by_shard[decided.shard.id] = found

    @property
    def kept(self) -> Amount:
        return self.amounts.get(KEPT, Amount())

    @property
    def dropped(self) -> dict[str, Amount]:
        """By reason."""
        return {reason: amount for reason, amount in sorted(self.amounts.items()) if reason != KEPT}

    def described(self) -> dict[str, Any]:
        """The counts for JSON."""
        found = {"shards": len(self.shards), "kept": self.kept._asdict(), "dropped": _described(self.dropped)}
        by_shard = {shard: _described(amounts) for shard, amounts in self.by_shard.items()}
        return {**found, "by_shard": by_shard} if self.each else found


def amounts_of(decided: Decided, file_rows: int) -> dict[str, Amount]:
    """The amounts of one shard by reason. `file_rows`: of all shards of its file, if that is a table."""
    reasons = np.asarray(decided.reasons.fill_null(KEPT), object)
    sizes, found = _sizes(decided, file_rows), {}
    for reason in sorted(set(reasons.tolist())):
        chosen = reasons == reason
        found[reason] = Amount(int(chosen.sum()), int(sizes[chosen].sum()))
    return found


def _sizes(decided: Decided, file_rows: int) -> np.ndarray:
    """The bytes of each record's image; in a table, whose cells nobody has measured, its share of the file."""
    shard, count = decided.shard, len(decided.rows)
    if shard.kind == "images" and count == len(shard.sizes):
        return np.asarray(shard.sizes, np.int64)
    if shard.kind == "tar":
        return decided.rows["length"].fill_null(0).to_numpy()
    if shard.kind == "parquet" and file_rows:
        return np.full(count, shard.size / file_rows)
    return np.zeros(count, np.int64)


def _described(amounts: Mapping[str, Amount]) -> dict[str, Any]:
    return {reason: amount._asdict() for reason, amount in amounts.items()}
