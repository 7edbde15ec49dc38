"""Chooses which images of a scan to ask about: those whose answer moves most (METHODS.md §10d)."""

from collections.abc import Iterator, Mapping, Sequence
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
from pipelines.errors import CallerError
from pipelines.runtime.cells import as_cell, from_cells
from pipelines.runtime.spread import over_tasks
from pipelines.scan_directory.layout import VERDICT_VOTES, read_table
from pipelines.scan_directory.record import ScanRecord, reading
from pipelines.verdicts.places import Place, ScanImages


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
    cells = over_tasks(pool, groups, sum_scores, files, known, column)
    sums = reduce(add, (sums_of(table) for cell in cells for table in from_cells(cell)))
    worth = Worth.of(agreement, sums)
    asked, anchors = _asked_before(record)
    order = worth.order(anchors)
    most = count + len(asked)
    found = over_tasks(pool, groups, candidates, files, order[:most], most, {name: n for n, name in _numbered(record)})
    parts = [_candidates_of(table) for cell in found for table in from_cells(cell)]
    places = chosen(reduce(add, parts, _candidates_of(_table(_nobody()))), order[:most], _numbers(record, asked), count)
    names = dict(_numbered(record))
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
    parts = (agreement.sums_of_scores(votes_of(files.votes(shard), column)) for shard in shards["id"].to_pylist())
    yield as_cell(sums_table(reduce(add, parts)))


def candidates(
    files: ConsensusFiles, among: np.ndarray, most: int, numbers: Mapping[str, int], shards: pa.Table
) -> Iterator[pa.Table]:
    """The images of a group of shards that could stand for some anchors, as one cell. `numbers`: of the shards."""
    found = _nobody()
    for shard in shards["id"].to_pylist():
        table = files.votes(shard)
        index = table.filter(table[LOG_ODDS].is_valid())["index"].to_numpy()
        places = np.stack([np.full(len(index), numbers[shard]), index], axis=1)
        found = (found + Candidates.of(votes_of(table), places, among, most)).first(most)
    yield as_cell(_table(found))


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


def _asked_before(record: ScanRecord) -> tuple[list[Place], set[int]]:
    """The images of this scan with verdicts, and the nearest anchors of all images with some."""
    directory = record.directory
    if not directory.exists(VERDICT_VOTES):
        return [], set()
    with reading(directory.url, VERDICT_VOTES):
        table = read_table(directory, VERDICT_VOTES, ["key", "shard", "index", "anchors"])
    rows = table.to_pylist()
    places = [(row["shard"], row["index"]) for row in rows]
    there = ScanImages(record).rows([(shard or "", index or 0) for shard, index in places], ["key"])
    of_this = [
        place for place, row, now in zip(places, rows, there, strict=True) if now and (now["key"] or "") == row["key"]
    ]
    return of_this, {row["anchors"][0] for row in rows}


def _numbered(record: ScanRecord) -> list[tuple[int, str]]:
    return list(enumerate(record.shards))


def _numbers(record: ScanRecord, places: Sequence[Place]) -> set[tuple[int, int]]:
    numbers = {name: number for number, name in _numbered(record)}
    return {(numbers[shard], index) for shard, index in places}


def _nobody() -> Candidates:
    return Candidates(np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 2), np.int64))


def _table(found: Candidates) -> pa.Table:
    columns = {"anchor": found.anchors, "weight": found.weights}
    return pa.table({**columns, "shard": found.places[:, 0], "index": found.places[:, 1]})


def _candidates_of(table: pa.Table) -> Candidates:
    anchors, weights, *places = (table[name].to_numpy() for name in ("anchor", "weight", "shard", "index"))
    return Candidates(anchors, weights, np.stack(places, axis=1))
