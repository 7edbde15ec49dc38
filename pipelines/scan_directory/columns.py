"""Columns that stages hand on and that never reach a score table, but for `VERSION`."""

import pyarrow as pa

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
