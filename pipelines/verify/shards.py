"""Checks the files that a shard has in any scan: its score table, its embeddings, and what it is read from."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.consensus.log_odds import log_odds
from ood_core.methods import ImageMethod, Method, consensus_of, score_column, takes_verdicts, uses_reference
from ood_core.vectors import vectors_of
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.inputs.embedding_plan import read_rows
from pipelines.inputs.plan import Shard
from pipelines.inputs.readers.record import STATUSES, UNREAD
from pipelines.inputs.records import records
from pipelines.scan_directory.columns import (
    ANCHOR,
    COVERAGE,
    EMBEDDING,
    EVIDENCE,
    LAST_BEFORE_SCORES,
    SHIFT,
    VERDICT,
    VERDICT_BY,
    WEIGHT,
)
from pipelines.scan_directory.layout import EMBEDDINGS, MANIFEST, SCORES, shard_file
from pipelines.verify.manifest import Told
from pipelines.verify.recorded import Recorded
from pipelines.verify.tables import Inspection, UnfitError, required, vectors

PLACE = (*required(shard=pa.string(), index=pa.int64()), pa.field("key", pa.string()))
EMBEDDING_COLUMNS = pa.schema([*PLACE, *required(**{EMBEDDING: vectors(pa.float16())})])
UNIT_TOLERANCE = 2e-3
"""How far the length of an embedding in half precision may be from 1."""


@dataclass(frozen=True)
class ScoreTable:
    """A shard's score table in which nothing is wrong. `committed`: whether it is known to be the committed file."""

    shard: Shard
    rows: pa.Table
    committed: bool

    @property
    def name(self) -> str:
        return shard_file(SCORES, self.shard.id)

    @property
    def statuses(self) -> Counter[str]:
        return Counter(self.rows["status"].to_pylist())

    @property
    def good(self) -> np.ndarray:
        """The numbers of the rows that have scores."""
        return np.flatnonzero(np.array(self.rows["status"].to_pylist(), object) == "ok")

    def good_keys(self) -> list[str]:
        """The keys of these rows, as the memory has them."""
        keys = self.rows["key"].to_pylist()
        return [keys[row] or "" for row in self.good.tolist()]


def score_table(found: Inspection, scan: Recorded, shard: Shard, told: Told) -> ScoreTable | None:
    """A shard's score table; None, which is a problem, if it is not what it should be."""
    name, receipt, before = shard_file(SCORES, shard.id), told.receipts.get(shard.id), len(found.problems)
    rows = found.table(name, score_columns(scan), None if receipt is None else receipt["digest"])
    if rows is None:
        return None
    scores = ScoreTable(shard, rows, receipt is not None and len(found.problems) == before)
    with found.checking(name):
        _check_rows(scores)
        for method, parameters in scan.methods.items():
            _check_scores(rows[score_column(method)], scores.good, parameters, score_column(method))
        if scores.committed and scores.statuses != dict(receipt["statuses"] if receipt else ()):
            counts = f"{dict(receipt['statuses'] if receipt else ())}, and {name} holds {dict(scores.statuses)}"
            found.problems.append(f"{MANIFEST}/ counts {counts}")
        return scores
    return None


def score_columns(scan: Recorded) -> pa.Schema:
    """The columns that the score tables of a scan must have."""
    columns = [*PLACE, *required(status=pa.string())]
    columns += [pa.field(score_column(name), pa.float64()) for name in scan.methods]
    if beside := beside_scores(scan):
        columns += [pa.field(name, kind) for name, kind in {LAST_BEFORE_SCORES: pa.string(), **beside}.items()]
    return pa.schema(columns)


def beside_scores(scan: Recorded) -> dict[str, pa.DataType]:
    """The columns that stand beside scores that go by neighbours."""
    methods = scan.methods
    of_consensus = {ANCHOR: pa.int32(), WEIGHT: pa.float64(), SHIFT: pa.float64()} if consensus_of(methods) else {}
    of_reference = dict.fromkeys((EVIDENCE, COVERAGE), pa.float64()) if uses_reference(methods) else {}
    of_verdicts = {VERDICT: pa.float64(), VERDICT_BY: pa.string()}
    return {**of_consensus, **of_reference, **(of_verdicts if scan.has_verdicts and takes_verdicts(methods) else {})}


def check_embeddings(found: Inspection, scores: ScoreTable | None, shard: Shard, told: Told) -> None:
    """Checks a shard's embeddings, against its score table if there is nothing wrong with that."""
    name, receipt = shard_file(EMBEDDINGS, shard.id), told.receipts.get(shard.id)
    digest = None if receipt is None else receipt["embeddings_digest"]
    table = found.table(name, EMBEDDING_COLUMNS, digest, counted=False)
    if table is None:
        return
    with found.checking(name):
        if set(table["shard"].to_pylist()) - {shard.id}:
            raise UnfitError("there are rows of another shard")
        if scores is not None:
            wanted = scores.rows.take(pa.array(scores.good)).select(["index", "key"])
            if not table.select(["index", "key"]).equals(wanted):
                raise UnfitError("the embeddings are not those of the records whose status is ok")
        check_unit(table[EMBEDDING], UNIT_TOLERANCE)


def check_unit(embeddings: pa.ChunkedArray, tolerance: float) -> None:
    """Raises UnfitError if an embedding is not of unit length."""
    lengths = np.linalg.norm(vectors_of(embeddings).astype(np.float32), axis=1)
    if np.abs(lengths - 1).max(initial=0) > tolerance:
        raise UnfitError("there are embeddings that are not of unit length")


def check_input(found: Inspection, scores: ScoreTable, config: Scan | Rescore, options: Mapping[str, Any]) -> None:
    """Reads a shard's input again, and compares its keys with those of the score table."""
    shard, rows = scores.shard, scores.rows
    with found.checking(shard.id):
        if isinstance(config, Scan):
            read = [(record.key, record.status, record.error) for record in records(shard, config.read, options)]
            keys = [key for key, _, _ in read]
            unread = next((error for _, status, error in read if status == UNREAD), None)
            if unread and UNREAD not in rows["status"].to_pylist():
                raise UnfitError(unread)
        else:  # the keys are the same whatever dimension the embeddings should have
            keys = [key for part in read_rows(shard, config.read, 1, options) for key in part.keys]
        if keys != rows["key"].to_pylist():
            raise UnfitError(f"the input holds {len(keys)} records, the score table {len(rows)}, or their keys differ")


def _check_rows(scores: ScoreTable) -> None:
    rows, shard = scores.rows, scores.shard
    if set(rows["shard"].to_pylist()) - {shard.id}:
        raise UnfitError("there are rows of another shard")
    if rows["index"].to_pylist() != list(range(len(rows))):
        raise UnfitError("the indices are not 0, 1, 2, … in order")
    if shard.rows is not None and len(rows) != shard.rows:
        raise UnfitError(f"there are {len(rows)} rows, and {shard.rows} are planned")
    if shard.kind == "images" and rows["key"].to_pylist() != list(shard.keys):
        raise UnfitError("the keys are not those of the planned files")
    if unknown := scores.statuses.keys() - STATUSES:
        raise UnfitError(f"the status {min(unknown)!r} is unknown")


def _check_scores(values: pa.ChunkedArray, good: np.ndarray, parameters: Method, column: str) -> None:
    given = np.flatnonzero(values.is_valid().to_numpy())
    if len(missing := np.setdiff1d(good, given)):
        raise UnfitError(f"{column} is missing where the status is ok, in row {missing[0]}")
    if len(beside := np.setdiff1d(given, good)):
        raise UnfitError(f"{column} is given where the status is not ok, in row {beside[0]}")
    if isinstance(parameters, ImageMethod):
        try:
            log_odds(values.drop_null().to_numpy(), parameters)
        except ValueError as error:
            raise UnfitError(f"{column}: {error}") from error
