"""What a scan has written, in the order of its plan."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.inputs.plan import read_plan
from pipelines.scan_directory.layout import read_table, shard_name
from pipelines.storage import Directory


def shard_ids(output: Path | str, options: Mapping[str, Any] | None = None) -> list[str]:
    """The ids of the planned shards."""
    return [shard.id for shard in read_plan(Directory(str(output), options or {}).read("plan.parquet"))]


def parts(output: Path | str, options: Mapping[str, Any] | None = None) -> list[str]:
    """The names of the shards' files."""
    return [shard_name(shard) for shard in shard_ids(output, options)]


def score_tables(output: Path | str, options: Mapping[str, Any] | None = None) -> list[pa.Table]:
    """The score table of every shard."""
    directory = Directory(str(output), options or {})
    return [read_table(directory, f"scores/{part}") for part in parts(output, options)]


def score_rows(output: Path | str) -> pa.Table:
    """The rows of all score tables."""
    return pa.concat_tables(score_tables(output))
