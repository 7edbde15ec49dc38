"""Score tables made by hand."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def scores(path: Path, **columns: Sequence[float | None]) -> str:
    """Writes a score table with a column for each of the methods, and returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {f"score_{name}": pa.array(values, pa.float64()) for name, values in columns.items()}
    count = len(next(iter(columns.values())))
    pq.write_table(pa.table({"key": [str(row) for row in range(count)], **named}), path)
    return str(path)
