"""Writes Parquet files without some of their rows: the same columns and metadata, the other rows in order."""

import itertools
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import ReadError
from pipelines.inputs.readers.row_groups import BATCH_BYTES, Gap, RowRange, Table, group_rows, row_batches

GROUP_BYTES = 256 * 2**20
"""The most that is held of a row group before it is written."""
CODECS = ("SNAPPY", "GZIP", "BROTLI", "LZ4", "ZSTD")


def write_filtered(table: Table, keep: np.ndarray, out: BinaryIO, group_bytes: int = GROUP_BYTES) -> None:
    """Writes the rows of a Parquet file for which `keep`, by row number, is true; those beyond it are left out.

    The row groups stay, but for those that have nothing left or take more than `group_bytes`. Raises ReadError if a row
    that is to be kept is not there, or cannot be read whole.
    """
    schema, rows = table.schema_arrow, table.metadata.num_rows
    if not keep.any():  # nothing of it has to be read, whatever is wrong with it
        pq.write_table(schema.empty_table(), out)
        return
    if keep[rows:].any():
        raise ReadError(f"rows that are kept are not there: the table has {rows}")
    padded = np.concatenate([keep[:rows], np.zeros(max(0, rows - len(keep)), bool)])
    with pq.ParquetWriter(out, schema, **_as_written(table)) as writer:
        for group in _groups(table, padded, group_bytes):
            writer.write_table(pa.Table.from_batches(group, schema))


def _groups(table: Table, keep: np.ndarray, group_bytes: int) -> Iterator[list[pa.RecordBatch]]:
    """The rows that are kept of each row group, in batches."""
    ends, held, size, row = set(itertools.accumulate(group_rows(table))), list[pa.RecordBatch](), 0, 0
    for batch in row_batches(table, None, RowRange(0, len(keep)), batch_bytes=BATCH_BYTES):
        count = batch.rows if isinstance(batch, Gap) else len(batch)
        chosen, row = keep[row : row + count], row + count
        if isinstance(batch, Gap):
            if chosen.any():
                raise ReadError(f"a row that is kept cannot be read whole: {batch.reason}")
        elif chosen.any():
            held.append(batch.filter(pa.array(chosen)))
            size += held[-1].nbytes
        if held and (row in ends or size > group_bytes):
            yield held
            held, size = [], 0


def _as_written(table: Table) -> dict[str, Any]:
    """Options that make a writer write as the file was written."""
    metadata, group = table.metadata, table.metadata.row_group(0)
    codecs = {table.schema.column(number).path: group.column(number).compression for number in range(group.num_columns)}
    return {
        "compression": {path: codec if codec in CODECS else "NONE" for path, codec in codecs.items()},
        "store_schema": b"ARROW:schema" in (metadata.metadata or {}),
        "use_compliant_nested_type": not any(".list.item" in path for path in codecs),
        "write_page_checksum": True,
    }
