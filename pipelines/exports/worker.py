"""Writes output files in a worker, and tells what became of each."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from pipelines.config.scan import Read
from pipelines.errors import CallerError, ReadError
from pipelines.exports.choice import Choice
from pipelines.exports.output_files import SHARDS, OutputFile, files_of, placed
from pipelines.exports.read_back import MismatchError
from pipelines.exports.receipt import Receipt, digest_of, known_receipt
from pipelines.exports.score_rows import ScoreTables
from pipelines.exports.write_file import FileWriter
from pipelines.inputs.readers.record import OF_ARCHIVES
from pipelines.storage import Directory


@dataclass(frozen=True)
class Job:
    """What workers are given beside the files to write. `read`: how the scan has read its input."""

    tables: ScoreTables
    choice: Choice
    output: Directory
    read: Read


def export_files(job: Job, block: pa.Table) -> Iterator[pa.Table]:
    """Writes the output files in a table, and yields the receipt of each; for Ray."""
    for file in files_of(block):
        yield exported(job, file).to_table()


def exported(job: Job, file: OutputFile) -> Receipt:
    """Writes an output file, unless it is there already and whole; if that cannot be done, the receipt says why."""
    try:
        return _exported(job, file)
    except (CallerError, ReadError, MismatchError) as error:
        job.output.remove(f"{SHARDS}/{file.name}")
        problem = f"{file.shards[0].urls[0]}: {error}"
        return Receipt(file.name, problem=problem, is_mismatch=isinstance(error, MismatchError))


def _exported(job: Job, file: OutputFile) -> Receipt:
    decided = [job.tables.decided(shard, job.choice) for shard in file.shards]
    digest = digest_of(decided)
    if known := known_receipt(job.output, file.name, digest):
        return known
    wrote = FileWriter(job.output, job.read).write(file, decided)
    kept = sum(int(one.keep.sum()) for one in decided)
    damaged = sum(status in OF_ARCHIVES for one in decided for status in one.rows["status"].to_pylist())
    receipt = Receipt(file.name, digest, placed(job.output, file.name)[2] if wrote else 0, kept, damaged)
    receipt.put(job.output)
    return receipt
