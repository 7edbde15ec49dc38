"""The images of a scan that are worth a look, of every column of scores: found shard by shard, merged in any order."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

LIMITS = {"lowest": 24, "highest": 24, "spread": 2, "flagged": 4}
"""How many images of each kind: those of the lowest scores, those of the highest, and so many of every step of scores,
drawn by lot: among these are the least certain, wherever the threshold comes to lie; and of the images that are flagged
so many of every anchor, or nearest negative label, of the lowest scores."""

STEPS = 32
"""Steps of scores from 0 to 1, and as many to every factor of e beyond: see `steps_of`."""

CHOICE = pa.struct(
    {
        "column": pa.string(),
        "kind": pa.string(),
        "step": pa.int64(),
        "order": pa.float64(),
        "shard": pa.string(),
        "index": pa.int64(),
    }
)
"""An image that is chosen, of those of its column, kind and step for the least `order`. `step`: of "spread", that of
the score; of "flagged", see `number_of`; else 0."""

NO_CHOICES = pa.nulls(0, CHOICE)


def steps_of(scores: Float64[np.ndarray, " scores"]) -> Float64[np.ndarray, " scores"]:
    """The step that each score falls into: of one width from -1 to 1, ever wider beyond."""
    sizes = np.abs(scores)
    return np.floor(STEPS * np.sign(scores) * np.where(sizes <= 1, sizes, 1 + np.log(np.maximum(sizes, 1))))


def choices(
    shard: str, scores: Mapping[str, Float64[np.ndarray, " rows"]], keys: Sequence[str | None]
) -> pa.StructArray:
    """A shard's choice by each column of scores, which are NaN where there is none. `keys`: of all rows."""
    lots = np.array([_lot(key or "") for key in keys])
    return pa.concat_arrays([NO_CHOICES, *(_by_column(shard, name, values, lots) for name, values in scores.items())])


def merged(found: pa.StructArray) -> pa.StructArray:
    """What remains of the choices of many shards, in order: the same, however they are merged."""
    order = [(name, "ascending") for name in ("column", "kind", "step", "order", "shard", "index")]
    table = pa.Table.from_struct_array(found).sort_by(order).combine_chunks()
    if not len(table):
        return NO_CHOICES
    group = [_codes(table[name]) for name in ("column", "kind", "step")]
    begins = np.append(True, np.any(np.diff(group) != 0, axis=0))
    place = np.arange(len(table))
    rank = place - np.maximum.accumulate(np.where(begins, place, 0))
    limits = np.array([LIMITS[kind] for kind in table["kind"].to_pylist()])
    return table.filter(pa.array(rank < limits)).to_struct_array().combine_chunks()


def _by_column(
    shard: str, column: str, scores: Float64[np.ndarray, " rows"], lots: Float64[np.ndarray, " rows"]
) -> pa.StructArray:
    rows = np.flatnonzero(np.isfinite(scores))
    found, lots, steps = scores[rows], lots[rows], steps_of(scores[rows])
    by_step = np.lexsort((rows, lots, steps))
    first = np.searchsorted(steps[by_step], steps[by_step])
    chosen = {
        "lowest": np.lexsort((rows, found))[: LIMITS["lowest"]],
        "highest": np.lexsort((rows, -found))[: LIMITS["highest"]],
        "spread": by_step[np.arange(len(rows)) - first < LIMITS["spread"]],
    }
    orders = {"lowest": found, "highest": -found, "spread": lots}
    count = sum(map(len, chosen.values()))
    columns = {
        "column": np.full(count, column, object),
        "kind": np.repeat(np.array(list(chosen), object), [len(places) for places in chosen.values()]),
        "step": np.concatenate([steps[places] * (kind == "spread") for kind, places in chosen.items()]).astype(int),
        "order": np.concatenate([orders[kind][places] for kind, places in chosen.items()]),
        "shard": np.full(count, shard, object),
        "index": np.concatenate([rows[places] for places in chosen.values()]),
    }
    return pa.table(columns, pa.schema(list(CHOICE))).to_struct_array().combine_chunks()


def _lot(key: str) -> float:
    """A number in [0, 1) that depends on the key alone."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest()) / 2.0**48


def _codes(values: pa.ChunkedArray) -> np.ndarray:
    """A number for each value, the same for the same values."""
    return values.combine_chunks().dictionary_encode().indices.to_numpy()
