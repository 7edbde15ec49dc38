"""Ray tasks over shards that look at images' neighbours: sample for anchors, vote, sum up, and score."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.consensus.anchors import Sample
from ood_core.consensus.log_odds import log_odds
from ood_core.consensus.reference import ReferenceSums
from ood_core.consensus.votes import Votes
from ood_core.methods import Consensus, ImageMethod, score_column
from pipelines.consensus.asked import Asked, Chain, Known
from pipelines.consensus.files import ConsensusFiles
from pipelines.consensus.overlap import hashes_of, is_among
from pipelines.consensus.tables import LOG_ODDS, reference_table, sums_table, votes_of, votes_table
from pipelines.consensus.told import Told, verdict_votes
from pipelines.inputs.plan import Shard, shards_of
from pipelines.inputs.readers.embeddings import EmbeddingRows
from pipelines.inputs.stored_embeddings import EmbeddingSource, rows_or_why
from pipelines.runtime.cells import as_cell
from pipelines.scan_directory.columns import (
    ANCHOR,
    BY_NEIGHBOURS,
    COVERAGE,
    EMBEDDING,
    EVIDENCE,
    SHIFT,
    VERDICT,
    VERDICT_BY,
    WEIGHT,
    half_precision,
    scattered,
    with_scores,
)
from pipelines.scan_directory.layout import REFERENCE_VOTES, VERDICTS_KEY, read_table, shard_file
from pipelines.scan_directory.shard_worker import ShardRows
from pipelines.verdicts.kept import Verdicts

HASH = "hash"
"""The column of the votes of a reference by which its images are known again."""


@dataclass(frozen=True)
class ConsensusSpec:
    """What the tasks need.

    `asked`: what is asked for; `bases`: the parameters of the methods whose scores are looked at; `labels`: the ID
    labels' embeddings, if images vote on them; `verdicts`: those that count; `scores`: the folder of the rows that hold
    the scores; `methods`: all that were asked for, in their order; `keep_embeddings`: those that the rows hold.
    """

    files: ConsensusFiles
    asked: Asked
    bases: Mapping[str, ImageMethod]
    labels: np.ndarray | None
    verdicts: Verdicts
    embeddings: EmbeddingSource
    scores: str
    methods: Sequence[str]
    keep_embeddings: bool
    device: str
    threads: int

    @property
    def label_count(self) -> int:
        """How many ID labels images vote on; 0 if they do not."""
        return 0 if self.labels is None else len(self.labels)

    def table(self, shard: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a shard with their scores, or some of their columns."""
        return read_table(self.files.output, shard_file(self.scores, shard), columns)


def sample(embeddings: EmbeddingSource, images: int, shards: pa.Table) -> Iterator[pa.Table]:
    """One row for each shard: how many good images it has, and which of them may be in the sample for the anchors.

    `images`: how many the whole scan has.
    """
    for shard in shards_of(shards):
        good, parts = 0, [Sample.of([], np.empty((0, embeddings.dim), np.float32), images)]
        for rows in embeddings.rows(shard):
            ok = np.flatnonzero(rows.statuses == "ok")
            good += len(ok)
            parts.append(Sample.of([rows.keys[row] or "" for row in ok.tolist()], rows.vectors[ok], images))
        found = Sample.together(parts)
        cells = (array.tobytes() for array in (found.hashes, found.embeddings))
        as_bytes = (pa.array([cell], pa.large_binary()) for cell in cells)
        yield pa.table([pa.array([good]), *as_bytes], names=["images", "hashes", "embeddings"])


def sample_of(row: dict[str, Any], dim: int) -> Sample:
    """The sample that a row of `sample` holds."""
    embeddings = np.frombuffer(row["embeddings"], np.float32).reshape(-1, dim)
    return Sample(np.frombuffer(row["hashes"], np.uint64), embeddings)


def searchable_anchors(anchors: np.ndarray, parameters: Consensus, device: str) -> Any:
    """The anchors as `Voting` searches them: made once, by a task, for all workers."""
    from ood_core.consensus.voting import searchable

    return searchable(anchors, parameters, device)


class Voter:
    """Makes votes of embeddings. `anchors`: where Ray holds the `searchable_anchors`."""

    def __init__(self, spec: ConsensusSpec, anchors: Any) -> None:
        import ray
        import torch

        from ood_core.consensus.voting import Voting

        torch.set_num_threads(spec.threads)
        self.voting = Voting(ray.get(anchors), spec.asked.parameters, spec.device, spec.labels)

    def __call__(self, embeddings: np.ndarray, base: np.ndarray | None = None) -> Votes:
        """The votes of unit embeddings. `base`: their log-odds, by default zeros."""
        import torch

        return self.voting(torch.from_numpy(embeddings), np.zeros(len(embeddings)) if base is None else base)


class Vote:
    """Makes the votes of a shard, a row for every record. `reference`: the shards of the reference, if there is one."""

    def __init__(self, spec: ConsensusSpec, anchors: Any, reference: Sequence[str]) -> None:
        self.spec, self.vote = spec, Voter(spec, anchors)
        self.known = None
        if spec.asked.takes_reference:
            names, output = (shard_file(REFERENCE_VOTES, shard) for shard in reference), spec.files.output
            parts = [read_table(output, name, [HASH])[HASH].drop_null().to_numpy() for name in names]
            self.known = np.unique(np.concatenate([np.empty(0, np.uint64), *parts]))

    def __call__(self, shard: Shard) -> ShardRows:
        columns = {column: score_column(base) for column, base in self.spec.asked.columns.items()}
        table = self.spec.table(shard.id, list(columns.values()))
        scores = {column: table[name].to_numpy() for column, name in columns.items()}
        nothing = EmbeddingRows.of([], np.empty((0, self.spec.embeddings.dim), np.float32))
        tables, count = [], 0
        for rows in itertools.chain([nothing], self.spec.embeddings.rows(shard)):
            some = {column: values[count : count + len(rows)] for column, values in scores.items()}
            tables.append(_in_place(self._votes(rows, some), rows, shard.id, count))
            count += len(rows)
        return ShardRows(pa.concat_tables(tables))

    def _votes(self, rows: EmbeddingRows, scores: Mapping[str, np.ndarray]) -> pa.Table:
        """The votes of the good ones among some rows. `scores`: of all these rows, by column of log-odds."""
        ok = np.flatnonzero(rows.statuses == "ok")
        bases = self.spec.asked.columns
        given = {column: log_odds(values[ok], self.spec.bases[bases[column]]) for column, values in scores.items()}
        votes = self.vote(rows.vectors[ok], given.pop(LOG_ODDS))
        if self.known is not None:
            votes = replace(votes, in_reference=is_among(rows.vectors[ok], self.known))
        table = votes_table(votes)
        for column, values in given.items():
            table = table.append_column(column, pa.array(values))
        return table


class VoteOfReference:
    """Makes the votes of a shard of the reference, a row for every record."""

    def __init__(self, spec: ConsensusSpec, anchors: Any, embeddings: EmbeddingSource) -> None:
        self.embeddings, self.vote = embeddings, Voter(spec, anchors)

    def __call__(self, shard: Shard) -> ShardRows:
        nothing = EmbeddingRows.of([], np.empty((0, self.embeddings.dim), np.float32))
        tables, count = [], 0
        for rows in itertools.chain([nothing], rows_or_why(self.embeddings, shard)):
            ok = np.flatnonzero(rows.statuses == "ok")
            votes = votes_table(self.vote(rows.vectors[ok])).append_column(HASH, pa.array(hashes_of(rows.vectors[ok])))
            tables.append(_in_place(votes, rows, shard.id, count))
            count += len(rows)
        return ShardRows(pa.concat_tables(tables))


def _in_place(votes: pa.Table, rows: EmbeddingRows, shard: str, first: int) -> pa.Table:
    """The votes of the good ones among some rows of a shard as a row for each, from number `first` on."""
    ok = np.flatnonzero(rows.statuses == "ok")
    columns = {name: scattered(votes[name].combine_chunks(), ok, len(rows)) for name in votes.column_names}
    index = pa.array(np.arange(first, first + len(rows)))
    return pa.table({"shard": pa.array([shard] * len(rows), pa.string()), "index": index, **columns})


def sum_reference(files: ConsensusFiles, anchors: int, labels: int, shards: pa.Table) -> Iterator[pa.Table]:
    """The sums of a group of the reference's shards, as one cell."""
    nothing = np.zeros(anchors, np.int64), np.zeros(labels, np.int64), np.zeros(labels, np.int64)
    sums, unusable = ReferenceSums(0, *nothing), 0
    for shard in shards["id"].to_pylist():
        table = files.votes(shard, REFERENCE_VOTES)
        votes = votes_of(table)
        sums, unusable = sums + ReferenceSums.of(votes, anchors, labels), unusable + len(table) - len(votes)
    yield as_cell(reference_table(sums, unusable))


def tell(verdicts: Verdicts, anchors: np.ndarray, parameters: Consensus) -> tuple[Told, pa.Table]:
    """What verdicts say of the anchors, and the votes that it comes from."""
    import torch

    from ood_core.consensus.voting import Voting

    torch.set_num_threads(1)
    found = Voting(anchors, parameters, exact=True)(torch.from_numpy(verdicts.embeddings), np.zeros(len(verdicts)))
    votes = verdict_votes(verdicts.table, found)
    return Told.of(votes, anchors, verdicts.digest), votes


def sum_up(files: ConsensusFiles, chain: Any, column: str, shards: pa.Table) -> Iterator[pa.Table]:
    """The sums of a chain's next step over a group of shards, as one cell. `chain`: in Ray's object store; `column`:
    of the log-odds that it sums up."""
    import ray

    known: Chain = ray.get(chain)
    parts = (known.sums(votes_of(files.votes(shard), column)) for shard in shards["id"].to_pylist())
    yield as_cell(sums_table(reduce(add, parts)))


class ScoreByNeighbours:
    """Makes the score table of a shard. `known`: in Ray's object store."""

    def __init__(self, spec: ConsensusSpec, known: Any) -> None:
        import ray

        self.spec = spec
        self.known: Known = ray.get(known)

    def __call__(self, shard: Shard) -> ShardRows:
        rows, votes = self.spec.table(shard.id), self.spec.files.votes(shard.id)
        table = with_neighbours(rows, votes, self.known, self.spec.asked, self.spec.methods)
        return ShardRows(_with_kept_embeddings(table, self.spec.keep_embeddings))


def with_neighbours(rows: pa.Table, voted: pa.Table, known: Known, asked: Asked, methods: Sequence[str]) -> pa.Table:
    """The rows with the scores that go by neighbours, and their columns, in place of any that they have already.

    `voted`: their votes, one row a record.
    """
    ok = np.flatnonzero(voted[LOG_ODDS].is_valid().to_numpy())
    scores: dict[str, np.ndarray] = {}
    beside: dict[str, Any] = {}
    if known.consensus:
        votes = votes_of(voted, asked.column("consensus"))
        smoothed = known.consensus.scores(votes)
        scores["consensus"] = smoothed.score
        beside |= {ANCHOR: votes.anchors[:, 0], WEIGHT: smoothed.weight, SHIFT: smoothed.shift}
    for name, base in known.bases.items():
        scores[name] = base.values(votes_of(voted, asked.column(name)))
    if known.with_reference:
        said = known.with_reference.reference_term(votes_of(voted))
        beside |= {EVIDENCE: said.evidence, COVERAGE: said.coverage}
    if known.with_verdicts and known.told:
        votes = votes_of(voted)
        beside |= {VERDICT: known.with_verdicts.verdict(votes)}
        beside |= {VERDICT_BY: known.told.by.take(pa.array(votes.anchors[:, 0]))}
    rows = rows.drop_columns([name for name in BY_NEIGHBOURS if name in rows.column_names])
    metadata = {key: value for key, value in (rows.schema.metadata or {}).items() if key != VERDICTS_KEY}
    if known.told:
        metadata[VERDICTS_KEY] = known.told.digest.encode()
    return with_scores(
        rows.replace_schema_metadata(metadata or None),
        methods,
        {name: scattered(pa.array(values), ok, len(rows)) for name, values in scores.items()},
        {name: scattered(_array(values), ok, len(rows)) for name, values in beside.items()},
    )


def _array(values: Any) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values)


def _with_kept_embeddings(table: pa.Table, keep: bool) -> pa.Table:
    """The table with its embeddings in half precision if they are kept, else without."""
    if EMBEDDING not in table.column_names:
        return table
    rest = table.drop_columns(EMBEDDING)
    return rest.append_column(EMBEDDING, half_precision(table[EMBEDDING])) if keep else rest
