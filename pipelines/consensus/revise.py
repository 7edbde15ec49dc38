"""Puts score tables right after other verdicts: the scores that go by neighbours are made anew, all others stay."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray

from pipelines.config.pools import ScorePool
from pipelines.consensus.asked import Asked, Known
from pipelines.consensus.files import ConsensusFiles
from pipelines.consensus.rounds import Rounds
from pipelines.consensus.workers import with_neighbours
from pipelines.runtime.spread import over_workers, ranges
from pipelines.scan_directory.columns import flag_names
from pipelines.scan_directory.layout import (
    GALLERY_FILE,
    REPORT_FILE,
    SCORES,
    SUCCESS_FILE,
    THRESHOLDS_KEY,
    VERDICTS_KEY,
    shard_file,
    table_bytes,
)
from pipelines.scan_directory.receipts import CARRIED, Receipt, receipt_of, receipts_table
from pipelines.scan_directory.run import Run
from pipelines.scan_directory.whole import whole_table
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
        before = pa.concat_tables([table.select(["shard", *CARRIED]) for table in run.tally.receipts]).sort_by("shard")
        for name in (SUCCESS_FILE, GALLERY_FILE, REPORT_FILE):
            run.output.remove(name)
        run.restart()
        parts = [before.slice(places[0], len(places)) for places in ranges(range(len(before)), self.pool.workers or 1)]
        spec = self._files, run.fingerprints.scores, self.asked, self.methods
        run.receive(SCORES, run.shards, over_workers(self.pool, parts, ReviseShards, (*spec, ray.put(known))))

    @property
    def _files(self) -> ConsensusFiles:
        return ConsensusFiles(self.this_run.output, self.this_run.fingerprint)


class ReviseShards:
    """Makes the scores by neighbours of some shards anew. `known`: where Ray holds what was summed up."""

    def __init__(
        self, files: ConsensusFiles, fingerprint: str, asked: Asked, methods: tuple[str, ...], known: Any
    ) -> None:
        self.files, self.fingerprint, self.asked, self.methods = files, fingerprint, asked, methods
        self.known: Known = ray.get(known)

    def __call__(self, receipts: pa.Table) -> Iterator[pa.Table]:
        """For Ray Data: the receipts of shards whose receipts so far are given."""
        yield receipts_table(self._revised(before) for before in receipts.to_pylist())

    def _revised(self, before: Mapping[str, Any]) -> Receipt:
        shard, output = before["shard"], self.files.output
        name = shard_file(SCORES, shard)
        content = output.read(name)
        rows = whole_table(content, self.fingerprint, shard)
        told = self.known.told.digest.encode() if self.known.told else None
        if (rows.schema.metadata or {}).get(VERDICTS_KEY) != told:
            plain = rows.drop_columns(flag_names(rows))
            rows = with_neighbours(plain, self.files.votes(shard), self.known, self.asked, self.methods)
            metadata = {key: value for key, value in (rows.schema.metadata or {}).items() if key != THRESHOLDS_KEY}
            rows = rows.combine_chunks()
            content = table_bytes(rows, metadata)
            output.put(name, content)
            rows = rows.replace_schema_metadata(metadata)
        return receipt_of(shard, rows, content) | {column: before[column] for column in CARRIED}
