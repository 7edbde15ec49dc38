"""Chooses which images of a scan to ask about: those whose answer moves most (METHODS.md §10d)."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from ood_core.consensus.agreement import Agreement
from ood_core.consensus.questions import Candidates, Worth, chosen
from pipelines.config.pools import ScorePool
from pipelines.consensus.asked import Asked
from pipelines.consensus.files import ConsensusFiles
from pipelines.consensus.rounds import grouped
from pipelines.consensus.tables import LOG_ODDS, sums_of, sums_table, votes_of
from pipelines.errors import CallerError, cause_of, first_line
from pipelines.runtime.cells import as_cell, from_cells
from pipelines.runtime.spread import over_tasks
from pipelines.scan_directory.layout import VERDICT_VOTES, VOTES, read_table, shard_file
from pipelines.scan_directory.record import ScanRecord, reading
from pipelines.verdicts.places import Place, ScanImages, table_of_scan


@dataclass(frozen=True)
class Question:
    """An image to ask about. `stands_for`: about how many images the answer speaks for; `belongs`: what the scan
    guesses, 0 to 1; `worth`: how much the answer moves, as far as it is known before."""

    place: Place
    anchor: int
    stands_for: float
    belongs: float
    worth: float


def choose(record: ScanRecord, count: int, pool: ScorePool) -> list[Question]:
    """The images to ask about, `count` at most, those first whose answer moves most; none that was asked about.

    Goes by the verdicts that the scan has taken in. Raises CallerError for a scan without consensus, or an unfinished
    one.
    """
    files, agreement, column = _agreement(record)
    groups, known = grouped(record.shards, pool), ray.put(agreement)
    sums = reduce(add, map(sums_of, _made(pool, groups, sum_scores, files, known, column)))
    worth = Worth.of(agreement, sums)
    asked, anchors = _asked_before(record)
    most = agreement.parameters.nearest * (count + len(asked))  # an image that is taken is one of so few anchors
    order, numbers = worth.order(anchors)[:most], {name: number for number, name in enumerate(record.shards)}
    found = _made(pool, groups, candidates, files, order, count, asked, numbers)
    places = chosen(reduce(add, map(_candidates_of, found), _nobody()), order, frozenset(), count)
    names = record.shards
    return [
        Question(
            (names[shard], index),
            anchor,
            float(worth.votes[anchor]),
            float(worth.belongs[anchor]),
            float(worth.worth[anchor]),
        )
        for anchor, (shard, index) in places
    ]


def sum_scores(files: ConsensusFiles, known: Any, column: str, shards: pa.Table) -> Iterator[pa.Table]:
    """The sums of the scores of a group of shards, as one cell. `known`: the agreement, in Ray's object store."""
    agreement: Agreement = ray.get(known)
    tables = (_votes(files, shard) for shard in shards["id"].to_pylist())
    yield as_cell(sums_table(reduce(add, (agreement.sums_of_scores(votes_of(table, column)) for table in tables))))


def candidates(
    files: ConsensusFiles,
    among: np.ndarray,
    count: int,
    asked: Set[Place],
    numbers: Mapping[str, int],
    shards: pa.Table,
) -> Iterator[pa.Table]:
    """The images of a group of shards that could stand for some anchors, as one cell.

    `count`: of each anchor; `asked`: images that are not asked again; `numbers`: of the shards.
    """
    found = _nobody()
    for shard in shards["id"].to_pylist():
        table = _votes(files, shard)
        before = [index for name, index in asked if name == shard]
        index = table["index"].to_numpy()
        table = table.filter(pa.array(table[LOG_ODDS].is_valid().to_numpy() & ~np.isin(index, before)))
        places = np.stack([np.full(len(table), numbers[shard]), table["index"].to_numpy()], axis=1)
        found = (found + Candidates.of(votes_of(table), places, among, count)).first(count)
    yield as_cell(_table(found))


def _votes(files: ConsensusFiles, shard: str) -> pa.Table:
    return table_of_scan(files.output, shard_file(VOTES, shard))


def _made(pool: ScorePool, groups: Sequence[pa.Table], function: Any, *arguments: Any) -> list[pa.Table]:
    """The tables in the cells that tasks make of groups of shards. Raises CallerError where a task does."""
    try:
        return [table for cell in over_tasks(pool, groups, function, *arguments) for table in from_cells(cell)]
    except Exception as error:  # Ray wraps a task's in others
        if mistake := cause_of(error, CallerError):
            raise CallerError(first_line(mistake)) from error
        raise


def _agreement(record: ScanRecord) -> tuple[ConsensusFiles, Agreement, str]:
    """The finished consensus of a scan, and the column of the log-odds that it goes by."""
    url, files = record.directory.url, ConsensusFiles(record.directory, record.fingerprint)
    asked = Asked.of(record.methods, files.has_verdicts())
    if asked is None or not asked.smoothing:
        raise CallerError(f"SCAN {url!r} was made without consensus, whose anchors the questions go by: scan with "
                          "--method consensus")  # fmt: skip
    with reading(url, "consensus"):
        agreement = files.chains(asked).get("consensus")
    if not isinstance(agreement, Agreement) or not agreement.finished:
        raise CallerError(f"SCAN {url!r} has not ended: its consensus is not whole; the scan's own command goes on")
    return files, agreement, asked.column("consensus")


def _asked_before(record: ScanRecord) -> tuple[Set[Place], set[int]]:
    """The images of this scan with verdicts, and the nearest anchors of all images with some."""
    directory = record.directory
    if not directory.exists(VERDICT_VOTES):
        return set(), set()
    with reading(directory.url, VERDICT_VOTES):
        rows = read_table(directory, VERDICT_VOTES, ["key", "shard", "index", "anchors"]).to_pylist()
        places = [(row["shard"] or "", -1 if row["index"] is None else row["index"]) for row in rows]
        anchors = {row["anchors"][0] for row in rows}
    there = ScanImages(record).rows(places, ["key"])
    of_this = {
        place
        for place, row, now in zip(places, rows, there, strict=True)
        if now and (now["key"] or "") == (row["key"] or "")
    }
    return of_this, anchors


def _nobody() -> Candidates:
    return Candidates(np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 2), np.int64))


def _table(found: Candidates) -> pa.Table:
    columns = {"anchor": found.anchors, "weight": found.weights}
    return pa.table({**columns, "shard": found.places[:, 0], "index": found.places[:, 1]})


def _candidates_of(table: pa.Table) -> Candidates:
    anchors, weights, *places = (table[name].to_numpy() for name in ("anchor", "weight", "shard", "index"))
    return Candidates(anchors, weights, np.stack(places, axis=1))
