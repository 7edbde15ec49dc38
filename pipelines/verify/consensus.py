"""Checks a scan's consensus: sums up every round once more from the votes, and compares with what is recorded."""

from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from ood_core.consensus.agreement import Agreement, Sums
from ood_core.consensus.log_odds import log_odds
from ood_core.consensus.votes import Votes
from ood_core.methods import Consensus, consensus_of, of_images, score_column
from pipelines.consensus.files import sums_file, sums_of, votes_of
from pipelines.consensus.workers import with_consensus
from pipelines.inputs.plan import Shard
from pipelines.scan_directory.columns import ANCHOR, LAST_BEFORE_SCORES, SHIFT, WEIGHT
from pipelines.scan_directory.layout import ANCHORS, VOTES, shard_file
from pipelines.verify.recorded import Recorded
from pipelines.verify.shards import ScoreTable, check_unit
from pipelines.verify.tables import Inspection, UnfitError, required, vectors

ANCHOR_COLUMNS = pa.schema(required(anchor=pa.int64(), embedding=vectors(pa.float32())))
VOTE_COLUMNS = pa.schema(
    [
        *required(shard=pa.string(), index=pa.int64()),
        pa.field("log_odds", pa.float64()),
        pa.field("anchors", vectors(pa.int32())),
        pa.field("weights", vectors(pa.float32())),
        pa.field("cosine", pa.float32()),
    ]
)
UNIT_TOLERANCE, WEIGHT_TOLERANCE = 1e-3, 1e-4
"""How far the length of an anchor, and the sum of an image's weights, may be from 1."""
MOST = 2.0**62
"""Above all sums: see `bits_for`."""


@dataclass
class ConsensusCheck:
    """Goes over the votes once, and sums them up for every round by what is recorded of the rounds before.

    `known`: the recorded outcome of all rounds; `unlike`: the votes that do not give the scores of their score tables,
    as these were committed; `voted`: how many shards have voted.
    """

    found: Inspection
    scan: Recorded
    known: Agreement | None = None
    sums: list[Sums] = field(default_factory=list)
    unlike: list[str] = field(default_factory=list)
    voted: int = 0
    whole: bool = True

    def __post_init__(self) -> None:
        chosen = consensus_of(self.scan.methods)
        if chosen:
            self.known = self._recorded(chosen)

    def look_at(self, shard: Shard, scores: ScoreTable | None) -> None:
        """Compares a shard's votes with its scores, and adds them up. `scores`: None if something is wrong there."""
        if not consensus_of(self.scan.methods):
            return
        name = shard_file(VOTES, shard.id)
        table, before = self.found.table(name, VOTE_COLUMNS), len(self.found.problems)
        if table is not None and scores is not None and len(table) != len(scores.rows):
            self.found.problems.append(f"{name} has not the rows of its score table")
        elif table is not None:
            with self.found.checking(name):
                votes = self._votes(table, shard)
                if scores is not None and self.known is not None:
                    self._compare(table, votes, scores, self.known)
        sound = table is not None and scores is not None and len(self.found.problems) == before
        self.whole = self.whole and sound

    def compare(self) -> None:
        """Compares the sums over all shards with the recorded ones, once all have been looked at.

        Where only some of the shards have other scores than their votes give, their votes are to blame, else the sums.
        """
        wrong = None
        if self.known and self.whole and self.sums:
            pairs = enumerate(zip(self.known.known, self.sums, strict=True))
            wrong = next((step for step, (one, other) in pairs if not _same(one, other)), None)
        if wrong is not None and len(self.unlike) in (0, self.voted):
            self.found.problems.append(f"{sums_file(wrong)} is not what the votes come to")
        else:
            self.found.problems += [f"{name} is not what its scores were made from" for name in self.unlike]

    def _recorded(self, chosen: Consensus) -> Agreement | None:
        anchors = self.found.table(ANCHORS, ANCHOR_COLUMNS)
        known = None
        if anchors is not None:
            with self.found.checking(ANCHORS):
                if anchors["anchor"].to_pylist() != list(range(len(anchors))):
                    raise UnfitError("the anchors are not 0, 1, 2, … in order")
                check_unit(anchors["embedding"], UNIT_TOLERANCE)
                known = Agreement(chosen, len(anchors))
        for step in range(Agreement(chosen, 0).steps):
            known = self._after(known, step)
        return known

    def _after(self, known: Agreement | None, step: int) -> Agreement | None:
        """What is known after a step, by the recorded sums of it. None if these are damaged, or nothing was known."""
        name, columns = sums_file(step), required(anchor=pa.int64())
        empty = None if known is None else known.sums(_no_votes(known.parameters))
        if empty is not None:
            columns += required(**{f"value_{number}": pa.int64() for number in range(len(empty.anchors))})
        table = self.found.table(name, pa.schema(columns))
        if table is None or known is None or empty is None:
            return None
        with self.found.checking(name):
            sums = sums_of(table.select([column.name for column in columns]))
            if sums.totals.keys() != empty.totals.keys() or sums.anchors.shape != empty.anchors.shape:
                raise UnfitError("it is not of the consensus that was asked for")
            if not (np.abs(sums.anchors.astype(float)) < MOST).all():
                raise UnfitError("there are sums that cannot be")
            if table["anchor"].to_pylist() != list(range(len(table))):
                raise UnfitError("the anchors are not 0, 1, 2, … in order")
            after = known.after(sums)
            after.sums(_no_votes(known.parameters))  # so that what cannot be computed with is said of this file
            return after
        return None

    def _votes(self, table: pa.Table, shard: Shard) -> Votes:
        """A shard's votes. Raises UnfitError if they cannot be votes of it."""
        if set(table["shard"].to_pylist()) - {shard.id} or table["index"].to_pylist() != list(range(len(table))):
            raise UnfitError("the rows are not those of its shard, in order")
        given = [table[name].is_valid().to_pylist() for name in ("log_odds", "anchors", "weights", "cosine")]
        if any(one != given[0] for one in given):
            raise UnfitError("there are votes of which a part is missing")
        votes = votes_of(table)
        if self.known and len(votes):
            if not 0 <= votes.anchors.min() <= votes.anchors.max() < self.known.anchor_count:
                raise UnfitError("there are votes on anchors that there are not")
            if votes.weights.min() < 0 or np.abs(votes.weights.sum(axis=1) - 1).max() > WEIGHT_TOLERANCE:
                raise UnfitError("there are weights that do not come to 1")
        return votes

    def _compare(self, table: pa.Table, votes: Votes, scores: ScoreTable, known: Agreement) -> None:
        name, base = shard_file(VOTES, scores.shard.id), known.parameters.base
        values = scores.rows[score_column(base)].drop_null().to_numpy()
        given = table["log_odds"].is_valid().to_numpy()
        if not np.array_equal(np.flatnonzero(given), scores.good):
            self.found.problems.append(f"{name} has not the rows of its score table")
        elif not np.array_equal(votes.log_odds, log_odds(values, of_images(self.scan.methods)[base])):
            self.found.problems.append(f"{name} is not of the scores by {base}")
        else:
            self.voted += bool(len(votes))
            if not self._gives(table, scores.rows, known):
                if scores.committed:
                    self.unlike.append(name)
                else:
                    self.found.problems.append(f"{scores.name}: score_consensus is not what the votes come to")
            parts = [replace(known, known=known.known[:step]).sums(votes) for step in range(known.steps)]
            self.sums = [one + part for one, part in zip(self.sums, parts, strict=True)] if self.sums else parts

    def _gives(self, voted: pa.Table, rows: pa.Table, known: Agreement) -> bool:
        """Whether the votes give the rows' score by consensus, and what stands beside it."""
        columns = [LAST_BEFORE_SCORES, *map(score_column, self.scan.methods)]
        made = with_consensus(rows.select(columns), voted, known, tuple(self.scan.methods))
        return made.equals(rows.select([*columns, ANCHOR, WEIGHT, SHIFT]))


def _same(one: Sums, other: Sums) -> bool:
    return one.totals == other.totals and one.largest == other.largest and np.array_equal(one.anchors, other.anchors)


def _no_votes(parameters: Consensus) -> Votes:
    nearest = parameters.nearest
    return Votes(
        np.empty(0), np.empty((0, nearest), np.int32), np.empty((0, nearest), np.float32), np.empty(0, np.float32)
    )
