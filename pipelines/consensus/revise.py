"""Puts score tables right after other verdicts: the scores that go by neighbours are made anew, all others stay."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray

from pipelines.config.pools import ScorePool
from pipelines.consensus.asked import Asked, Known
from pipelines.consensus.files import ConsensusFiles
from pipelines.consensus.rounds import Rounds
from pipelines.consensus.workers import with_neighbours
from pipelines.runtime.spread import over_workers
from pipelines.scan_directory.columns import flag_names
from pipelines.scan_directory.layout import (
    SCORES,
    THRESHOLDS_KEY,
    VERDICTS_KEY,
)
from pipelines.scan_directory.replace_tables import ReplaceTables, reopened
from pipelines.scan_directory.run import Run
from pipelines.verdicts.kept import Verdicts


@dataclass(frozen=True)
class Revision:
    """Gives the score tables, all of which are committed, the scores that today's verdicts make.

    In place: each table is replaced by another, at once. Until all are, no receipt counts, and a table says which
    verdicts it takes in, so that a run that is cut short is made good by the next.
    """

    this_run: Run
    asked: Asked
    methods: tuple[str, ...]
    verdicts: Verdicts
    pool: ScorePool

    def sum_up(self) -> Known:
        """What all images come to with these verdicts, summed up anew."""
        run = self.this_run
        run.say(f"verdicts: {len(self.verdicts)} are spread over the scan")
        rounds = Rounds(self._files, self.asked, [shard.id for shard in run.shards], self.pool)
        rounds.tell(self.verdicts)
        return rounds.known()

    def score(self, known: Known) -> None:
        """Replaces every table that takes other verdicts in."""
        run = self.this_run
        parts = reopened(run, self.pool.workers or 1)
        spec = self._files, run.fingerprints.scores, self.asked, self.methods
        run.receive(SCORES, run.shards, over_workers(self.pool, parts, ReviseShards, (*spec, ray.put(known))))

    @property
    def _files(self) -> ConsensusFiles:
        return ConsensusFiles(self.this_run.output, self.this_run.fingerprint)


class ReviseShards(ReplaceTables):
    """Makes the scores by neighbours of some shards anew. `known`: where Ray holds what was summed up."""

    def __init__(
        self, files: ConsensusFiles, fingerprint: str, asked: Asked, methods: tuple[str, ...], known: Any
    ) -> None:
        super().__init__(files.output, fingerprint)
        self.files, self.asked, self.methods = files, asked, methods
        self.known: Known = ray.get(known)

    def made(self, shard: str, rows: pa.Table) -> pa.Table:
        """The rows with other scores by neighbours, without flags, unless they take these very verdicts in."""
        told = self.known.told.digest.encode() if self.known.told else None
        if (rows.schema.metadata or {}).get(VERDICTS_KEY) == told:
            return rows
        plain = rows.drop_columns(flag_names(rows))
        found = with_neighbours(plain, self.files.votes(shard), self.known, self.asked, self.methods).combine_chunks()
        metadata = found.schema.metadata or {}
        return found.replace_schema_metadata({key: metadata[key] for key in metadata if key != THRESHOLDS_KEY})
