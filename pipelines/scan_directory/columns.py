"""The columns of the tables that workers commit, and how scores are put into them."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.methods import score_column
from ood_core.vectors import vector_column, vectors_of

OFFERS = "offers"
"""What a row's image offers to the memory; the committer writes it to a table of its own."""

EMBEDDING, VERSION = "embedding", "memory_version"
"""A row's unit embedding, and the version of the memory that scored it."""

ANCHOR, WEIGHT, SHIFT = "anchor", "consensus_weight", "consensus_shift"
"""Beside a score by consensus: the nearest anchor, how much the neighbours counted, how far they moved the score."""

EVIDENCE, COVERAGE = "evidence", "coverage"
"""Beside scores that take a reference in: what it says of an image, and whether it knows the image's labels."""

VERDICT, VERDICT_BY = "verdict", "verdict_by"
"""Beside scores that take verdicts in: what they say of an image, and who has said most of it."""

LOCATOR = {"url": pa.string(), "offset": pa.int64(), "length": pa.int64(), "row": pa.int64()}
"""Where an image's bytes are: in which file; from which byte on and how many in a tar; in which row of a table."""

SCORE_PREFIX, FLAG_PREFIX = "score_", "is_ood_"
"""What the names of columns of scores begin with (see `score_column`), and those of flags: see `flag_column`."""

BY_NEIGHBOURS = (ANCHOR, WEIGHT, SHIFT, EVIDENCE, COVERAGE, VERDICT, VERDICT_BY)
"""The columns beside scores that go by images' neighbours."""
RESERVED = (OFFERS, EMBEDDING, VERSION, *BY_NEIGHBOURS)
RESERVED_PREFIXES = (SCORE_PREFIX, FLAG_PREFIX)
"""Names and beginnings of names that no column of the input may have in a score table."""

OWN = (
    *("shard", "index", "key", "status", "error", "width", "height"),
    *("id_label", "id_probability", "negative_label"),
)
"""The columns that every score table begins with."""

LAST_BEFORE_SCORES = "negative_label"
"""The column of a score table that the scores follow."""


def flag_column(method: str) -> str:
    """The column of the score tables that says which images a method flags: those that score below its threshold."""
    return score_column(method).replace(SCORE_PREFIX, FLAG_PREFIX, 1)


def flag_names(rows: pa.Table) -> list[str]:
    """The columns of flags of a score table."""
    return [name for name in rows.column_names if name.startswith(FLAG_PREFIX)]


def offers_type(dim: int) -> pa.DataType:
    """Arrow's type of `OFFERS`: for each image a list of the memory rows that it could enter."""
    embedding = pa.list_(pa.float32(), dim)
    fields = {"method": pa.string(), "row": pa.int64(), "priority": pa.float64(), "embedding": embedding}
    return pa.list_(pa.struct(list(fields.items())))


def free_name(name: str, taken: Container[str]) -> str:
    """What a column of the input is called in a score table: `input_…` where its name is taken, or reserved."""
    while name in taken or name in RESERVED or name.startswith(RESERVED_PREFIXES):
        name = f"input_{name}"
    return name


def scattered(values: Any, rows: np.ndarray, count: int) -> Any:
    """An Arrow array of `count` cells with the values at the given rows, null elsewhere."""
    if len(rows) == count:
        return values
    places = np.full(count, -1)
    places[rows] = np.arange(len(rows))
    return values.take(pa.array(places, mask=places < 0))


def half_precision(embeddings: pa.ChunkedArray) -> pa.Array:
    """The embeddings in float16, null where there is none."""
    ok = np.flatnonzero(embeddings.is_valid().to_numpy())
    return scattered(vector_column(vectors_of(embeddings).astype(np.float16)), ok, len(embeddings))


def with_scores(
    rows: pa.Table, methods: Sequence[str], found: Mapping[str, Any], beside: Mapping[str, Any]
) -> pa.Table:
    """The rows of a score table with more scores, all in the order of the methods.

    `found`: scores by method; the others are among the rows already. `beside`: columns by name that follow the scores.
    """
    scores = {score_column(name): found.get(name) for name in methods}
    others = [name for name in rows.column_names if name not in scores]
    first = others.index(LAST_BEFORE_SCORES) + 1
    columns: dict[str, Any] = {name: rows[name] for name in others[:first]}
    columns |= {name: rows[name] if values is None else values for name, values in scores.items()}
    columns |= {**beside, **{name: rows[name] for name in others[first:]}}
    return pa.table(columns, metadata=rows.schema.metadata)
