"""The steps of consensus over shards, as Ray tasks: sample for anchors, vote, sum up, and score."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.consensus.agreement import Agreement
from ood_core.consensus.anchors import Sample
from ood_core.consensus.log_odds import log_odds
from ood_core.methods import Consensus, Parameters, score_column
from pipelines.config.rescore import ReadEmbeddings
from pipelines.consensus.files import ConsensusFiles, sums_table, votes_of, votes_table
from pipelines.inputs.embedding_plan import read_rows
from pipelines.inputs.plan import Shard, shards_of
from pipelines.inputs.readers.embeddings import Rows
from pipelines.runtime.pools import packed
from pipelines.scan_directory.columns import ANCHOR, EMBEDDING, SHIFT, WEIGHT, halved, placed, with_end
from pipelines.scan_directory.layout import FIRST_PASS, part_name, table_of
from pipelines.storage import Directory


@dataclass(frozen=True)
class Tables:
    """Embeddings as `rescore` is given them."""

    read: ReadEmbeddings
    dim: int
    options: Mapping[str, Any]

    def rows(self, shard: Shard) -> Iterator[Rows]:
        return read_rows(shard, self.read, self.dim, self.options)


@dataclass(frozen=True)
class FirstPass:
    """Embeddings as a scan's first pass has left them."""

    output: Directory
    dim: int

    def rows(self, shard: Shard) -> Iterator[Rows]:
        table = table_of(self.output.read(f"{FIRST_PASS}/{part_name(shard.id)}"), ["key", EMBEDDING])
        ok = table[EMBEDDING].is_valid().to_numpy()
        vectors = np.zeros((len(table), self.dim), np.float32)
        vectors[ok] = table[EMBEDDING].combine_chunks().flatten().to_numpy().reshape(-1, self.dim)
        rows = Rows.of(table["key"].to_pylist(), vectors)
        rows.blame(~ok, "missing-embedding")
        yield rows


@dataclass(frozen=True)
class Consenting:
    """What tasks need. `rows`: the folder of the rows that have the base method's scores; `methods`: all that were
    asked for, in their order; `keep_embeddings`: those that the rows hold."""

    files: ConsensusFiles
    parameters: Consensus
    base: Parameters
    embeddings: Tables | FirstPass
    rows: str
    methods: Sequence[str]
    keep_embeddings: bool
    device: str
    threads: int

    def table(self, shard: str, columns: Sequence[str] | None = None) -> pa.Table:
        return table_of(self.files.output.read(f"{self.rows}/{part_name(shard)}"), columns)


def sample(embeddings: Tables | FirstPass, images: int, block: pa.Table) -> Iterator[pa.Table]:
    """One row for each shard: what of it may be in the sample, and how many good images it has."""
    for shard in shards_of(block):
        good, parts = 0, [Sample.of([], np.empty((0, embeddings.dim), np.float32), images)]
        for rows in embeddings.rows(shard):
            ok = np.flatnonzero(rows.statuses == "ok")
            good += len(ok)
            parts.append(Sample.of([rows.keys[row] or "" for row in ok.tolist()], rows.vectors[ok], images))
        found = Sample.together(parts)
        cells = (array.tobytes() for array in (found.hashes, found.embeddings))
        as_bytes = (pa.array([cell], pa.large_binary()) for cell in cells)
        yield pa.table([pa.array([good]), *as_bytes], names=["images", "hashes", "embeddings"])


def sampled(row: dict[str, Any], dim: int) -> Sample:
    """The sample of a row of `sample`."""
    embeddings = np.frombuffer(row["embeddings"], np.float32).reshape(-1, dim)
    return Sample(np.frombuffer(row["hashes"], np.uint64), embeddings)


def vote(consenting: Consenting, anchors: Any, block: pa.Table) -> Iterator[pa.Table]:
    """The votes of shards, with a row for each record, and each shard's end row. `anchors`: in Ray's object store."""
    import ray
    import torch

    from ood_core.consensus.voting import Voting

    torch.set_num_threads(consenting.threads)
    voting = Voting(ray.get(anchors), consenting.parameters, consenting.device)
    column = score_column(consenting.parameters.base)
    nothing = Rows.of([], np.empty((0, consenting.embeddings.dim), np.float32))
    for shard in shards_of(block):
        scores = consenting.table(shard.id, [column])[column].to_numpy()
        tables, count = [], 0
        for rows in itertools.chain([nothing], consenting.embeddings.rows(shard)):
            ok = np.flatnonzero(rows.statuses == "ok")
            base = log_odds(scores[count + ok], consenting.base)
            votes = votes_table(voting(torch.from_numpy(rows.vectors[ok]), base))
            known = {name: placed(votes[name].combine_chunks(), ok, len(rows)) for name in votes.column_names}
            index = pa.array(np.arange(count, count + len(rows)))
            tables.append(pa.table({"shard": pa.array([shard.id] * len(rows), pa.string()), "index": index, **known}))
            count += len(rows)
        said = pa.concat_tables(tables)
        yield with_end(said.append_column("status", pa.nulls(len(said), pa.string())), shard.id, count)


def sum_up(files: ConsensusFiles, agreement: Any, block: pa.Table) -> Iterator[pa.Table]:
    """The sums of the next step over a group of shards. `agreement`: in Ray's object store."""
    import ray

    known: Agreement = ray.get(agreement)
    parts = (known.sums(votes_of(files.votes(shard))) for shard in block["id"].to_pylist())
    yield packed(sums_table(reduce(add, parts)))


def score(consenting: Consenting, agreement: Any, block: pa.Table) -> Iterator[pa.Table]:
    """Score tables of shards, each with its end row."""
    import ray

    known: Agreement = ray.get(agreement)
    for shard in block["id"].to_pylist():
        table = consented(consenting.table(shard), consenting.files.votes(shard), known, consenting.methods)
        yield with_end(_kept(table, consenting.keep_embeddings), shard, len(table))


def consented(rows: pa.Table, voted: pa.Table, known: Agreement, methods: Sequence[str]) -> pa.Table:
    """The rows with the columns of consensus, scores in the order of the methods."""
    ok = np.flatnonzero(voted["log_odds"].is_valid().to_numpy())
    votes = votes_of(voted)
    found = known.scores(votes)
    columns = {
        score_column("consensus"): found.score,
        ANCHOR: votes.anchors[:, 0],
        WEIGHT: found.weight,
        SHIFT: found.shift,
    }
    ours = {name: placed(pa.array(values), ok, len(rows)) for name, values in columns.items()}
    scores = [score_column(name) for name in methods]
    names = rows.column_names
    first = min(names.index(name) for name in scores if name in names)
    others = [name for name in names if name not in scores]
    every = [*others[:first], *scores, ANCHOR, WEIGHT, SHIFT, *others[first:]]
    return pa.table({name: ours[name] if name in ours else rows[name] for name in every})


def _kept(table: pa.Table, keep_embeddings: bool) -> pa.Table:
    """The table with embeddings in half precision, or without."""
    if EMBEDDING not in table.column_names:
        return table
    rest = table.drop_columns(EMBEDDING)
    return rest.append_column(EMBEDDING, halved(table[EMBEDDING])) if keep_embeddings else rest
