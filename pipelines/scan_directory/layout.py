"""Folders that hold a file for each shard: `scores/part-<shard>.parquet` and its like."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.storage import Directory

SCORES, EMBEDDINGS, FIRST_PASS, SECOND_PASS = "scores", "embeddings", "first-pass", "second-pass"
MEMORY, CONSENSUS = "memory", "consensus"
CANDIDATES, VOTES = f"{MEMORY}/candidates", f"{CONSENSUS}/votes"
FINGERPRINT_KEY, RECORDS_KEY = b"oodscan.fingerprint", b"oodscan.records"


def part_name(shard_id: str) -> str:
    return f"part-{shard_id}.parquet"


def committed(output: Directory, folder: str = SCORES) -> set[str]:
    """Ids of the shards whose scores are visible, or what else the folder holds of each."""
    names = [name for name in output.names(folder) if name.startswith("part-") and name.endswith(".parquet")]
    return {name.removeprefix("part-").removesuffix(".parquet") for name in names}


def parquet_of(table: pa.Table, metadata: Mapping[Any, Any]) -> bytes:
    """A table as a file whose pages are checked when it is read."""
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(dict(metadata)), buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def table_of(content: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Raises ArrowException or OSError for what is damaged. None: every column."""
    return pq.read_table(pa.BufferReader(content), columns=columns, page_checksum_verification=True)
