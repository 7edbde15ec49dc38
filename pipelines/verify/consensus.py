"""Checks what goes by neighbours in a scan: sums up every step once more from the votes, and compares with what is
recorded."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pyarrow as pa

from ood_core.consensus.log_odds import log_odds
from ood_core.consensus.sums import Sums
from ood_core.methods import of_images, score_column, takes_verdicts
from ood_core.vectors import vectors_of
from pipelines.consensus.asked import Asked, Chain, ChainName, Known, no_votes
from pipelines.consensus.files import sums_file, voted_label_count
from pipelines.consensus.tables import IN_REFERENCE, LABEL_COLUMNS, LOG_ODDS, VOTE_COLUMNS, sums_of, votes_of
from pipelines.consensus.told import Told
from pipelines.consensus.workers import with_neighbours
from pipelines.inputs.plan import Shard
from pipelines.scan_directory.columns import LAST_BEFORE_SCORES
from pipelines.scan_directory.layout import ANCHORS, VOTES, shard_file
from pipelines.verify.recorded import Recorded
from pipelines.verify.reference import recorded_reference
from pipelines.verify.shards import ScoreTable, beside_scores, check_unit
from pipelines.verify.tables import Inspection, UnfitError, required, vectors
from pipelines.verify.verdicts import check_kept, recorded_told

ANCHOR_COLUMNS = pa.schema(required(anchor=pa.int64(), embedding=vectors(pa.float32())))
UNIT_TOLERANCE, WEIGHT_TOLERANCE = 1e-3, 1e-4
"""How far the length of an anchor, and the sum of an image's weights, may be from 1."""
MOST = 2.0**62
"""Above all sums: see `bits_for`."""


@dataclass
class ConsensusCheck:
    """Goes over the votes once, and sums them up for every step by what is recorded of the steps before.

    `chains`: the recorded outcome of all steps, none if something is wrong with them; `sums`: those of the votes;
    `unlike`: the votes that do not give the scores of their score tables, as these were committed; `voted`: how many
    shards have voted.
    """

    found: Inspection
    scan: Recorded
    chains: dict[ChainName, Chain] = field(default_factory=dict)
    sums: dict[ChainName, list[Sums]] = field(default_factory=dict)
    unlike: list[str] = field(default_factory=list)
    voted: int = 0
    told: Told | None = None
    whole: bool = True

    def __post_init__(self) -> None:
        self.asked = Asked.of(self.scan.methods, self.scan.has_verdicts)
        if self.asked:
            self.chains = self._recorded(self.asked)

    def look_at(self, shard: Shard, scores: ScoreTable | None) -> None:
        """Compares a shard's votes with its scores, and adds them up. `scores`: None if something is wrong there."""
        if not self.asked:
            return
        name = shard_file(VOTES, shard.id)
        table, before = self.found.table(name, vote_columns(self.asked)), len(self.found.problems)
        if table is not None and scores is not None and len(table) != len(scores.rows):
            self.found.problems.append(f"{name} has not the rows of its score table")
        elif table is not None:
            with self.found.checking(name):
                self._check_votes(table, shard)
                if scores is not None and self.chains:
                    self._compare(table, scores, self.asked, self.asked.known(self.chains, self.told))
        sound = table is not None and scores is not None and len(self.found.problems) == before
        self.whole = self.whole and sound

    def compare(self) -> None:
        """Compares the sums over all shards with the recorded ones, once all have been looked at.

        Where only some of the shards have other scores than their votes give, their votes are to blame, else the sums.
        """
        wrong = next(self._wrong_sums(), None) if self.whole and self.sums else None
        if wrong is not None and len(self.unlike) in (0, self.voted):
            self.found.problems.append(f"{wrong} is not what the votes come to")
        else:
            self.found.problems += [f"{name} is not what its scores were made from" for name in self.unlike]

    def _wrong_sums(self) -> Iterator[str]:
        """The files of sums that are not what the votes come to."""
        for name, chain in self.chains.items():
            for step, (one, other) in enumerate(zip(chain.known, self.sums[name], strict=True)):
                if not _same(one, other):
                    yield sums_file(step, name)

    def _recorded(self, asked: Asked) -> dict[ChainName, Chain]:
        """The recorded chains; none if something is wrong with one, which is said of all files that are."""
        anchors, count = self.found.table(ANCHORS, ANCHOR_COLUMNS), None
        if anchors is not None:
            with self.found.checking(ANCHORS):
                if anchors["anchor"].to_pylist() != list(range(len(anchors))):
                    raise UnfitError("the anchors are not 0, 1, 2, … in order")
                check_unit(anchors["embedding"], UNIT_TOLERANCE)
                count = len(anchors)
        labels, reference = voted_label_count(anchors) if anchors is not None else 0, None
        if asked.takes_reference and count is not None:
            reference = recorded_reference(self.found, count, labels)
        if takes_verdicts(self.scan.methods) and anchors is not None and count is not None:
            fitted = vectors_of(anchors["embedding"]).astype(np.float32)
            if asked.has_verdicts:
                self.told = recorded_told(self.found, fitted)
            else:
                check_kept(self.found, None, fitted.shape[1])
        startable = (
            count is not None
            and (reference is not None or not asked.takes_reference)
            and (self.told is not None or not asked.has_verdicts)
        )
        start = partial(asked.start, anchor_count=count or 0, label_count=labels, reference=reference, told=self.told)
        chains: dict[ChainName, Chain | None] = dict.fromkeys(asked.chains)
        if startable:
            chains |= {name: start(name) for name in asked.chains}
        for name in asked.chains:
            for step in range(asked.steps(name)):
                chains[name] = self._after(name, chains[name], step, asked)
        found: dict[ChainName, Chain] = {name: chain for name, chain in chains.items() if chain is not None}
        return found if len(found) == len(chains) else {}

    def _after(self, chain: ChainName, known: Chain | None, step: int, asked: Asked) -> Chain | None:
        """What is known after a step, by the recorded sums of it. None if these are damaged, or nothing was known."""
        name, columns, nobody = sums_file(step, chain), required(anchor=pa.int64()), no_votes(asked)
        empty = None if known is None else known.sums(nobody)
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
            if not after.finished:
                after.sums(nobody)  # so that what cannot be computed with is said of this file
            return after
        return None

    def _check_votes(self, table: pa.Table, shard: Shard) -> None:
        """Raises UnfitError if a table cannot be of the shard's votes."""
        if set(table["shard"].to_pylist()) - {shard.id} or table["index"].to_pylist() != list(range(len(table))):
            raise UnfitError("the rows are not those of its shard, in order")
        names = [name for name in table.column_names if name not in ("shard", "index")]
        given = [table[name].is_valid().to_pylist() for name in names]
        if any(one != given[0] for one in given):
            raise UnfitError("there are votes of which a part is missing")
        votes = votes_of(table)
        if not self.chains or not len(votes):
            return
        base = next(iter(self.chains.values()))
        pairs = [("anchors", votes.anchors, votes.weights, base.anchor_count)]
        if votes.on_labels:
            pairs.append(("labels", votes.on_labels.labels, votes.on_labels.weights, base.terms.label_count))
        for what, places, weights, count in pairs:
            if not 0 <= places.min() <= places.max() < count:
                raise UnfitError(f"there are votes on {what} that there are not")
            if weights.min() < 0 or np.abs(weights.sum(axis=1) - 1).max() > WEIGHT_TOLERANCE:
                raise UnfitError("there are weights that do not come to 1")

    def _compare(self, table: pa.Table, scores: ScoreTable, asked: Asked, known: Known) -> None:
        name = shard_file(VOTES, scores.shard.id)
        given = table[LOG_ODDS].is_valid().to_numpy()
        if not np.array_equal(np.flatnonzero(given), scores.good):
            self.found.problems.append(f"{name} has not the rows of its score table")
            return
        for column, base in asked.columns.items():
            values = scores.rows[score_column(base)].drop_null().to_numpy()
            expected = log_odds(values, of_images(self.scan.methods)[base])
            if not np.array_equal(votes_of(table, column).log_odds, expected):
                self.found.problems.append(f"{name} is not of the scores by {base}")
                return
        self.voted += bool(given.any())
        if unlike := self._unlike(table, scores.rows, asked, known):
            if scores.committed:
                self.unlike.append(name)
            else:
                self.found.problems.append(f"{scores.name}: {unlike} is not what the votes come to")
        for chain, whole in self.chains.items():
            votes = votes_of(table, asked.column(chain))
            parts = [replace(whole, known=whole.known[:step]).sums(votes) for step in range(whole.steps)]
            before = self.sums.get(chain)
            self.sums[chain] = [one + part for one, part in zip(before, parts, strict=True)] if before else parts

    def _unlike(self, voted: pa.Table, rows: pa.Table, asked: Asked, known: Known) -> str | None:
        """The first column of the scores by neighbours, or beside them, that the votes do not give; None if all do."""
        columns = [LAST_BEFORE_SCORES, *map(score_column, self.scan.methods)]
        made = with_neighbours(rows.select(columns), voted, known, asked, tuple(self.scan.methods))
        names = [*columns, *beside_scores(self.scan)]
        return next((name for name in names if not made[name].equals(rows[name])), None)


def vote_columns(asked: Asked) -> pa.Schema:
    """The columns that the votes of a shard must have."""
    kinds = {"anchors": vectors(pa.int32()), "weights": vectors(pa.float32()), "cosine": pa.float32()}
    columns = {column: pa.float64() for column in asked.columns} | {name: kinds[name] for name in VOTE_COLUMNS}
    if asked.on_labels:
        columns |= dict(zip(LABEL_COLUMNS, (vectors(pa.int32()), vectors(pa.float32())), strict=True))
    if asked.takes_reference:
        columns[IN_REFERENCE] = pa.bool_()
    fields = [pa.field(name, kind) for name, kind in columns.items()]
    return pa.schema([*required(shard=pa.string(), index=pa.int64()), *fields])


def _same(one: Sums, other: Sums) -> bool:
    return one.totals == other.totals and one.largest == other.largest and np.array_equal(one.anchors, other.anchors)
