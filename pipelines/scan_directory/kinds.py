"""Kinds of images that do not belong: anchors of consensus, or else nearest negative labels, if most is flagged."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.scan_directory.breakdown import COLUMNS, IMAGES, KIND, MILLION, NEGATIVE, OTHERS, SCORE, counts_by
from pipelines.scan_directory.columns import flag_column
from pipelines.scan_directory.gallery import CHOICE, LIMITS
from pipelines.scan_directory.summary import Tally

SHOWN = 24
"""The most kinds that the gallery has pictures of."""

FLAGGED = "flagged"
"""The kind of choice for the gallery that shows what is flagged of an anchor or nearest negative label."""


@dataclass(frozen=True)
class Kind:
    """A kind of images. `by`: `KIND` or `NEGATIVE`; `value`: which anchor or label; `images`: how many there are, of
    which `flagged` are flagged; `score`: their mean."""

    by: str
    value: str
    images: int
    flagged: int
    score: float

    @property
    def number(self) -> int:
        return number_of(self.by, self.value)


def kinds_of(breakdown: pa.StructArray, flags: str, most: int | None = SHOWN, by: str | None = None) -> list[Kind]:
    """The kinds of which at least half is flagged, those of most flagged images first.

    `flags`: the column of flags; `most`: how many at most, None: all; `by`: what tells kinds apart, see `kind_by`.
    """
    by = by or kind_by(breakdown)
    found = [
        Kind(by, value, counts[IMAGES], counts.get(flags, 0), counts.get(SCORE, 0) / MILLION / counts[IMAGES])
        for value, counts in counts_by(breakdown, by).items()
        if value != OTHERS and counts.get(IMAGES)
    ]
    found = [kind for kind in found if 2 * kind.flagged >= kind.images]
    return sorted(found, key=lambda kind: (-kind.flagged, kind.score, kind.value))[:most]


def kind_by(breakdown: pa.StructArray) -> str:
    """What kinds are told apart by: anchors where there are some."""
    return KIND if KIND in breakdown.field("by").unique().to_pylist() else NEGATIVE


def number_of(by: str, value: str) -> int:
    """The number of a kind among the choices: its anchor, or what a negative label hashes to."""
    return int(value) if by == KIND else int.from_bytes(hashlib.blake2b(value.encode(), digest_size=7).digest())


def flagged_choices(shard: str, rows: pa.Table, scores: str, flags: str) -> pa.StructArray:
    """A shard's choice of its flagged images of every kind. `scores`, `flags`: the columns of the deciding method."""
    by = KIND if COLUMNS[KIND] in rows.column_names else NEGATIVE
    if COLUMNS[by] not in rows.column_names:
        return pa.nulls(0, CHOICE)
    flagged = rows.filter(rows[flags].fill_null(False)).select(["index", scores, COLUMNS[by]]).drop_null()
    values = flagged[COLUMNS[by]].cast(pa.string()).to_pylist()
    numbers = {value: number_of(by, value) for value in set(values)}
    steps = np.array([numbers[value] for value in values], np.int64)
    found, index = flagged[scores].to_numpy(), flagged["index"].to_numpy()
    order = np.lexsort((index, found, steps))
    first = np.searchsorted(steps[order], steps[order])
    chosen = order[np.arange(len(order)) - first < LIMITS[FLAGGED]]
    count = len(chosen)
    columns = [[scores] * count, [FLAGGED] * count, steps[chosen], found[chosen], [shard] * count, index[chosen]]
    return pa.table(columns, pa.schema(list(CHOICE))).to_struct_array().combine_chunks()


def gallery_choices(tally: Tally, deciding: str) -> pa.StructArray:
    """The choices that the gallery of a scan shows: all, but of flagged images those of the kinds of most of them.

    `deciding`: the method whose flags count.
    """
    choices, shown = tally.choices(), [kind.number for kind in kinds_of(tally.breakdown(), flag_column(deciding))]
    of_kinds = np.array(choices.field("kind").to_pylist(), object) == FLAGGED
    return choices.filter(pa.array(~of_kinds | np.isin(choices.field("step").to_numpy(), shown)))
