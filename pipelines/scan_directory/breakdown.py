"""Counts of a scan's images by label, negative label, anchor and group: made shard by shard, added up in any order."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from pipelines.config.nightly import FOLDER
from pipelines.scan_directory.columns import ANCHOR, flag_names

COUNT = pa.struct({"by": pa.string(), "value": pa.string(), "what": pa.string(), "count": pa.int64()})
"""How many images (`what`: one of `IMAGES`, `ERRORS`, `SURE`, `SCORE`, or a column of flags) have this value."""

SCHEMA = pa.schema(list(COUNT))
NO_COUNTS = pa.nulls(0, COUNT)

Counts = Mapping[str, Mapping[str, int]]
"""By value: how many images have it, how many of them are flagged, and so on."""

LABEL, NEGATIVE, KIND, GROUP = "label", "negative", "anchor", "group"
COLUMNS = {LABEL: "id_label", NEGATIVE: "negative_label", KIND: ANCHOR}
"""The column that holds the values by which images are counted; that of `GROUP` is chosen."""

IMAGES, ERRORS, SURE, SCORE = "images", "errors", "sure", "score"
MILLION = 1_000_000
"""`SURE` and `SCORE` are sums, of the images' `id_probability` and of their scores by the deciding method, in
millionths: whole numbers, whose sums do not depend on the order."""

MOST_VALUES = 2**16
OTHERS = "…"
"""Values beyond the first so many of their kind, by name, are counted together under this one."""


def breakdown(rows: pa.Table, deciding: str, group_by: str) -> pa.StructArray:
    """The counts of a shard's rows, with their flags. `deciding`: the column of scores to be summed up."""
    ok = np.array(rows["status"].to_pylist(), object) == "ok"
    amounts = {IMAGES: ok, ERRORS: ~ok, SCORE: _millionths(rows[deciding])}
    if "id_probability" in rows.column_names:
        amounts[SURE] = _millionths(rows["id_probability"])
    amounts |= {name: rows[name].fill_null(False).to_numpy() for name in flag_names(rows)}
    values = {by: rows[name] for by, name in COLUMNS.items() if name in rows.column_names}
    if group_by == FOLDER:
        values[GROUP] = pa.chunked_array([folders(rows["key"].to_pylist())])
    elif group_by in rows.column_names:  # tables of embeddings may have different columns
        values[GROUP] = rows[group_by]
    counts = [_counts(by, of.cast(pa.string()), amounts) for by, of in values.items()]
    return added_up(pa.concat_arrays([NO_COUNTS, *counts]))


def folders(keys: Sequence[str | None]) -> pa.Array:
    """The part of each key before its last slash; "" where there is none."""
    return pa.array([None if key is None else key.rpartition("/")[0] for key in keys], pa.string())


def added_up(found: pa.StructArray) -> pa.StructArray:
    """The counts of many shards, each value once, in order: the same, however they are added up."""
    if not len(found):
        return NO_COUNTS
    sums = _sums(pa.Table.from_struct_array(found))
    if len(sums) > MOST_VALUES:
        sums = _sums(_with_others(sums))
    return sums.to_struct_array().combine_chunks()


def counts_by(found: pa.StructArray, by: str) -> Counts:
    """The counts by one of the ways to count; none if nothing is counted by it."""
    return all_counts(found).get(by, {})


def all_counts(found: pa.StructArray) -> Mapping[str, Counts]:
    """The counts by each of the ways to count, in the order of the values' names."""
    counted: dict[str, dict[str, dict[str, int]]] = {}
    for row in found.to_pylist():
        counted.setdefault(row["by"], {}).setdefault(row["value"], {})[row["what"]] = row["count"]
    return counted


def _sums(counts: pa.Table) -> pa.Table:
    """A row for each value and what is counted of it, in order."""
    names = ["by", "value", "what"]
    sums = counts.group_by(names).aggregate([("count", "sum")]).sort_by([(name, "ascending") for name in names])
    return pa.Table.from_arrays([sums[name] for name in (*names, "count_sum")], schema=SCHEMA)


def _with_others(sums: pa.Table) -> pa.Table:
    """The sums, in order, with values beyond the first `MOST_VALUES` of each way to count called `OTHERS`."""
    kept: dict[str, dict[str, None]] = {}  # a set in order
    called = []
    for by, value in zip(sums["by"].to_pylist(), sums["value"].to_pylist(), strict=True):
        known = kept.setdefault(by, {})
        if value != OTHERS and len(known) < MOST_VALUES:
            known[value] = None
        called.append(value if value in known else OTHERS)
    return sums.set_column(1, "value", pa.array(called, pa.string()))


def _counts(by: str, values: pa.ChunkedArray, amounts: Mapping[str, np.ndarray]) -> pa.StructArray:
    """Sums of each of the amounts by value; nothing for rows without one, and none that is 0."""
    table = pa.table({"value": values, **{name: pa.array(of.astype(np.int64)) for name, of in amounts.items()}})
    sums = table.filter(values.is_valid()).group_by("value").aggregate([(name, "sum") for name in amounts])
    parts = []
    for name in amounts:
        counts = sums[f"{name}_sum"].to_numpy()
        found = sums["value"].filter(pa.array(counts != 0))
        columns = [pa.array([by] * len(found)), found, pa.array([name] * len(found)), pa.array(counts[counts != 0])]
        parts.append(pa.table(columns, SCHEMA).to_struct_array().combine_chunks())
    return pa.concat_arrays(parts)


def _millionths(values: pa.ChunkedArray) -> np.ndarray:
    """Whole millionths of the values; 0 where there is none, or none that is finite."""
    found = np.nan_to_num(np.asarray(values.to_numpy(), np.float64), nan=0, posinf=0, neginf=0)
    return np.rint(found * MILLION).astype(np.int64)
