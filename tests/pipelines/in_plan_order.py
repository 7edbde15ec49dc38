"""What a scan has written, in the order of its plan."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.inputs.plan import read_plan


def shard_ids(output: Path) -> list[str]:
    """The ids of the planned shards."""
    return [shard.id for shard in read_plan((output / "plan.parquet").read_bytes())]


def parts(output: Path) -> list[str]:
    """The names of the shards' files."""
    return [f"part-{shard}.parquet" for shard in shard_ids(output)]


def score_rows(output: Path) -> pa.Table:
    """The rows of all score tables."""
    return pa.concat_tables([pq.ParquetFile(output / "scores" / part).read() for part in parts(output)])
