"""Copies aside the bytes of images that a scan could not score, for somebody to look at."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipelines.config.scan import Scan
from pipelines.errors import ReadError
from pipelines.inputs.locate import read_again
from pipelines.inputs.plan import NOT_PLAIN
from pipelines.scan_directory.columns import LOCATOR
from pipelines.scan_directory.layout import SCORES, read_table, shard_file, table_bytes
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.record import ScanRecord
from pipelines.scans.workers.retry import in_error
from pipelines.storage import Directory

LETTERS_FILE = "dead-letters.parquet"
TOLD = ("shard", "index", "key", "status", "error")
LONGEST_NAME = 80


def copy_dead_letters(scan: Directory, letters: Directory) -> int:
    """Copies the images in error to files called by their shard, place and name; returns how many could be read.

    `dead-letters.parquet` tells of each what was wrong, and its file; null for one whose bytes cannot be read either.
    """
    record, rows, count = ScanRecord.read(scan), list[dict[str, Any]](), 0
    if isinstance(record.config, Scan):
        for row in _in_error(record):
            name = f"{row['shard']}/{row['index']:08d}-{NOT_PLAIN.sub('_', row['key'] or '')[:LONGEST_NAME]}"
            try:
                place = {name: row[name] for name in LOCATOR}
                letters.put(name, read_again(**place, read=record.config.read, options=scan.options))
                count += 1
            except ReadError:
                name = None
            rows.append({**{column: row[column] for column in TOLD}, "file": name})
    types = {"index": pa.int64()}
    schema = pa.schema({name: types.get(name, pa.string()) for name in (*TOLD, "file")})
    letters.put(LETTERS_FILE, table_bytes(pa.Table.from_pylist(rows, schema), {}))
    return count


def _in_error(record: ScanRecord) -> Iterator[dict[str, Any]]:
    """The rows in error that say where their image is, shard by shard."""
    tally = Manifest(record.directory, record.fingerprint).told()
    bad = tally.shards_in_error()
    for shard in (shard for shard in record.shards if shard in bad):
        table = read_table(record.directory, shard_file(SCORES, shard), [*TOLD, *LOCATOR])
        yield from table.take(pa.array(in_error(table))).to_pylist()
