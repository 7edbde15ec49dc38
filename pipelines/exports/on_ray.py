"""What of an export is done on Ray: filtered copies, and the search for uids."""

from collections.abc import Iterator

import numpy as np

from pipelines.config.pools import ScorePool
from pipelines.errors import CallerError
from pipelines.exports.datacomp import UIDS, find_uids, write_subset
from pipelines.exports.output_files import block_of, output_files
from pipelines.exports.receipt import Receipt, receipts_of
from pipelines.exports.request import DATACOMP, Request
from pipelines.exports.worker import Job, export_files
from pipelines.inputs.plan import blocks_of
from pipelines.runtime.cluster import cluster
from pipelines.runtime.pools import fit_scorers
from pipelines.runtime.progress import Say, counting
from pipelines.runtime.spread import over_tasks, ranges

SUBSET_FILE = "keep.npy"


def on_ray(request: Request, pool: ScorePool, address: str | None, say: Say) -> tuple[list[str], list[Receipt]]:
    """Makes what is asked for; returns the names of the lists, and the receipts of the copies in the plan's order.

    Raises CallerError for records that DataComp's list cannot hold.
    """
    job = Job(request.tables, request.choice, request.output, request.read)
    with cluster(address) as found:
        fitted, names = fit_scorers(pool, "cpu", found, say), list[str]()
        if DATACOMP in request.asked.lists:
            with request.output.writing(SUBSET_FILE) as file:
                write_subset(file, _uids(request, job, fitted, say))
            names.append(SUBSET_FILE)
        receipts = _copies(request, job, fitted, say) if request.asked.shards else []
    return names, receipts


def _uids(request: Request, job: Job, pool: ScorePool, say: Say) -> Iterator[np.ndarray]:
    """The uids of each shard's kept records."""
    more = counting(say, len(request.shards), "shards looked through for uids")
    blocks = blocks_of(ranges(request.shards, pool.workers or 1))
    for answers in over_tasks(pool, blocks, find_uids, job):
        for answer in answers.to_pylist():
            if answer["problem"]:
                raise CallerError(f"--lists {DATACOMP}: {answer['problem']}")
            yield np.frombuffer(answer["uids"], UIDS)
            more(1)


def _copies(request: Request, job: Job, pool: ScorePool, say: Say) -> list[Receipt]:
    """Has workers make every copy that is not there yet."""
    files = output_files(request.shards)
    more, found = counting(say, len(files), "files"), dict[str, Receipt]()
    blocks = [block_of(group) for group in ranges(files, pool.workers or 1)]
    for answers in over_tasks(pool, blocks, export_files, job):
        for receipt in receipts_of(answers):
            found[receipt.name] = receipt
            more(1)
    return [found[file.name] for file in files]
