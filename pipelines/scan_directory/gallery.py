"""The images of a scan that are worth a look, of every column of scores: found shard by shard, merged in any order."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from pandas.util import hash_array

LIMITS = {"lowest": 24, "highest": 24, "spread": 2}
"""How many images of each kind: those of the lowest scores, those of the highest, and so many of every step of scores,
drawn by lot: among these are the least certain, wherever the threshold comes to lie."""

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
"""An image that is chosen, of those of its column, kind and step (0 of the other kinds) for the least `order`."""

NO_CHOICES = pa.array([], CHOICE)


def steps_of(scores: Float64[np.ndarray, " scores"]) -> Float64[np.ndarray, " scores"]:
    """The step that each score falls into: of one width from -1 to 1, ever wider beyond."""
    sizes = np.abs(scores)
    return np.floor(STEPS * np.sign(scores) * np.where(sizes <= 1, sizes, 1 + np.log(np.maximum(sizes, 1))))


def choices(
    shard: str, column: str, scores: Float64[np.ndarray, " rows"], keys: Sequence[str | None]
) -> pa.StructArray:
    """A shard's choice by one column of scores. `scores`: NaN where there is none."""
    rows = np.flatnonzero(np.isfinite(scores))
    found = scores[rows]
    named = np.array([keys[row] or "" for row in rows.tolist()], object)
    lots = hash_array(named) / 2.0**64  # pyright: ignore[reportCallIssue]
    steps = steps_of(found)
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


def merged(found: pa.StructArray) -> pa.StructArray:
    """What remains of the choices of many shards, in order: the same, however they are merged."""
    frame = pa.Table.from_struct_array(found).to_pandas()
    group = ["column", "kind", "step"]
    frame = frame.sort_values([*group, "order", "shard", "index"])
    limits = np.array([LIMITS[kind] for kind in frame["kind"]], int)
    kept = frame[frame.groupby(group).cumcount().to_numpy() < limits]
    return pa.Table.from_pandas(kept, pa.schema(list(CHOICE)), preserve_index=False).to_struct_array().combine_chunks()
