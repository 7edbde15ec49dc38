"""Whether a committed file is whole: what a worker of this very scan has committed of this shard."""

import numpy as np
import pyarrow as pa

from pipelines.errors import first_line
from pipelines.inputs.readers.parquet import DAMAGE
from pipelines.scan_directory.layout import RECORDS_KEY, carries, table_from


class NotWholeError(Exception):
    """A file of a scan directory is not what was committed; the message says what it is instead."""


def whole_table(content: bytes, fingerprint: str, shard: str | None = None) -> pa.Table:
    """The table that a committed file holds. `fingerprint`: of the scan; `shard`: the id of the one that it is of.

    Raises NotWholeError if it is damaged, of another scan or shard, or has not the rows that were committed.
    """
    try:
        rows = table_from(content)
    except DAMAGE as error:
        raise NotWholeError(f"it cannot be read: {first_line(error)}") from error
    metadata = rows.schema.metadata or {}
    if not carries(rows, fingerprint):
        raise NotWholeError("it is of another scan")
    if shard is None:
        return rows
    if "shard" in rows.column_names and set(rows["shard"].unique().to_pylist()) - {shard}:
        raise NotWholeError("it holds rows of another shard")
    if metadata.get(RECORDS_KEY, b"%d" % len(rows)) != b"%d" % len(rows):
        raise NotWholeError(f"it has {len(rows)} rows, and {metadata[RECORDS_KEY].decode()} were committed")
    if "index" in rows.column_names and not np.array_equal(rows["index"].to_numpy(), np.arange(len(rows))):
        raise NotWholeError("its rows are not in order")
    return rows
