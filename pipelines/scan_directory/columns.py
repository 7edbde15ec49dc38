"""Columns that stages hand on and that never reach a score table, but for `VERSION`."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    pass


TIMES = ("read_s", "decode_s", "encode_s", "score_s")
TELEMETRY = (*TIMES, "encoder_ready")
"""How long things took; the committer takes them off before a row becomes visible."""

OFFERS, VERSION = "offers", "memory_version"
"""What each image is offered to the memory for, which the committer takes off; and which memory scored it."""

ANCHOR, WEIGHT, SHIFT = "anchor", "consensus_weight", "consensus_shift"
"""Beside a score by consensus: the nearest anchor, how much an image's neighbours counted, and by how much they moved
its score."""


def offers_type(dim: int) -> pa.DataType:
    """Of `OFFERS`: a list for each image."""
    embedding = pa.list_(pa.float32(), dim)
    fields = {"method": pa.string(), "row": pa.int64(), "priority": pa.float64(), "embedding": embedding}
    return pa.list_(pa.struct(list(fields.items())))


END_OF_SHARD = "end-of-shard"
"""Status of the row that follows a shard's last record; its `index` is their number. It never reaches a score table."""


EMBEDDING, OURS = "embedding", ("score_", "is_ood_")
"""What only our own columns are called, or begin with: whoever reads a score table takes them for that."""


def with_end(table: pa.Table, shard: str, count: int) -> pa.Table:
    """The table with the shard's end row behind it."""
    end = pa.table({"shard": [shard], "index": [count], "status": [END_OF_SHARD]})
    return pa.concat_tables([table, end], promote_options="default")


def halved(embeddings: pa.ChunkedArray) -> pa.Array:
    """Embeddings in float16, null where there is none."""
    whole = embeddings.combine_chunks()
    ok, values = np.flatnonzero(whole.is_valid().to_numpy(False)), whole.flatten().to_numpy()
    half = pa.FixedSizeListArray.from_arrays(pa.array(values.astype(np.float16)), whole.type.list_size)
    return placed(half, ok, len(whole))


def placed(values: Any, ok: np.ndarray, count: int) -> Any:
    """Values of the good rows at their places, null elsewhere."""
    if len(ok) == count:
        return values
    places = np.full(count, -1)
    places[ok] = np.arange(len(ok))
    return values.take(pa.array(places, mask=places < 0))
