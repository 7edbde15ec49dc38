"""Receipts: what a worker tells of a shard that it has committed, one row a shard, and nothing of its rows."""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.scan_directory.breakdown import COUNT, NO_COUNTS, added_up
from pipelines.scan_directory.columns import SCORE_PREFIX, WEIGHT
from pipelines.scan_directory.gallery import CHOICE, NO_CHOICES, choices, merged
from pipelines.scan_directory.layout import PASSED_OVER_KEY, VERDICTS_KEY
from pipelines.scan_directory.sketch import buckets_of

TIMES = ("read_s", "decode_s", "encode_s", "score_s", "write_s")
"""Seconds that a shard's records took to be read, decoded, encoded and scored, and its files to be written."""

SKETCH = pa.struct({"column": pa.string(), "buckets": pa.list_(pa.int64()), "counts": pa.list_(pa.int64())})

SCHEMA = pa.schema(
    {
        "shard": pa.string(),
        "records": pa.int64(),
        "size": pa.int64(),
        "digest": pa.string(),
        "embeddings_size": pa.int64(),
        "embeddings_digest": pa.string(),
        "statuses": pa.map_(pa.string(), pa.int64()),
        "passed_over": pa.map_(pa.string(), pa.int64()),
        "sketches": pa.list_(SKETCH),
        "choices": pa.list_(CHOICE),
        "flagged": pa.map_(pa.string(), pa.int64()),
        "breakdown": pa.list_(COUNT),
        "verdicts": pa.string(),
        "ready": pa.float64(),
        "committed": pa.float64(),
        **dict.fromkeys(TIMES, pa.float64()),
    }
)
"""`size`, `digest`: of the shard's file, and of that of its embeddings, null if there is none; `passed_over`: members
of its archive, by kind; `sketches`: of each column of scores (see `Sketch`); `choices`: of images for the gallery;
`flagged`: how many images, by column of flags, null until flags are made; `breakdown`: counts of images;
`verdicts`: the digest of those that its scores take in, null if there are none.

`ready`, `committed`: when its worker was ready and when it was committed, in seconds since the epoch; null for a shard
of an earlier run."""

ALWAYS = ("shard", "records", "size", "digest", "statuses", "passed_over")
"""The columns of `SCHEMA` that are null of no shard."""

CARRIED = ("embeddings_size", "embeddings_digest", "ready", "committed", *TIMES)
"""What a receipt has from that of the same shard before its score table was replaced by one with other columns."""

Receipt = dict[str, Any]
"""One row of `SCHEMA`, its `choices` and `breakdown` as Arrow arrays."""


def receipt_of(
    shard: str,
    rows: pa.Table,
    content: bytes,
    times: Mapping[str, float] = MappingProxyType({}),
    final: bool = True,
    embeddings: bytes | None = None,
) -> Receipt:
    """The receipt of a shard's committed file. `rows`: what it holds; `times`: of `ready` and `TIMES`, if known.

    `final`: whether it is the score table, so that images are chosen from it for the gallery; `embeddings`: the file of
    its embeddings, if they are kept.
    """
    metadata = rows.schema.metadata or {}
    statuses = rows["status"].value_counts().to_pylist() if "status" in rows.column_names else []
    return {
        "shard": shard,
        "records": len(rows),
        "size": len(content),
        "digest": digest_of(content),
        "embeddings_size": None if embeddings is None else len(embeddings),
        "embeddings_digest": None if embeddings is None else digest_of(embeddings),
        "statuses": sorted((found["values"], found["counts"]) for found in statuses),
        "passed_over": sorted(json.loads(metadata.get(PASSED_OVER_KEY, b"{}")).items()),
        "sketches": [sketch_of(name, rows[name]) for name in rows.column_names if is_counted(name)],
        "choices": _choices(shard, rows) if final else NO_CHOICES,
        "flagged": None,
        "breakdown": NO_COUNTS,
        "verdicts": metadata[VERDICTS_KEY].decode() if VERDICTS_KEY in metadata else None,
        "committed": time.time() if times else None,
        **times,
    }


def receipts_table(receipts: Iterable[Receipt]) -> pa.Table:
    """Receipts as a table of `SCHEMA`. The choices and the counts of all are brought together, in the last row."""
    found = list(receipts)
    table = pa.Table.from_pylist([receipt | {"choices": [], "breakdown": []} for receipt in found], SCHEMA)
    chosen = pa.concat_arrays([NO_CHOICES, *(receipt["choices"] for receipt in found)])
    counts = pa.concat_arrays([NO_COUNTS, *(receipt["breakdown"] for receipt in found)])
    table = with_last(table, "choices", merged(chosen).to_pylist())
    return with_last(table, "breakdown", added_up(counts).to_pylist())


def with_last(receipts: pa.Table, column: str, cell: list[dict[str, Any]]) -> pa.Table:
    """Receipts of which the last has this list in the column, and no other has any."""
    place, kind = SCHEMA.get_field_index(column), SCHEMA.field(column).type
    return receipts.set_column(place, column, pa.array([[]] * (len(receipts) - 1) + [cell][: len(receipts)], kind))


def digest_of(content: bytes) -> str:
    """The digest of a committed file: 32 hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def is_counted(column: str) -> bool:
    """Whether receipts hold a sketch of a column of a score table."""
    return column.startswith(SCORE_PREFIX) or column == WEIGHT


def sketch_of(column: str, values: pa.ChunkedArray) -> dict[str, Any]:
    """The sketch of a column of a score table, as a row of `SKETCH`."""
    buckets, counts = buckets_of(np.asarray(values.drop_null().to_numpy(), np.float64))
    return {"column": column, "buckets": buckets, "counts": counts}


def _choices(shard: str, rows: pa.Table) -> pa.StructArray:
    names = [name for name in rows.column_names if name.startswith(SCORE_PREFIX)]
    scores = {name: np.asarray(rows[name].to_numpy(), np.float64) for name in names}
    return choices(shard, scores, rows["key"].to_pylist() if names else [])
