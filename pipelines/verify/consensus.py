"""Checks a scan's consensus: sums up every round once more from the votes, and compares with what is recorded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from ood_core.consensus.agreement import Agreement, Sums
from ood_core.consensus.log_odds import log_odds
from ood_core.methods import Consensus, ImageMethod, consensus_of, of_images, score_column
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.consensus.files import sums_file, sums_of, votes_of
from pipelines.consensus.workers import with_consensus
from pipelines.inputs.plan import Shard
from pipelines.inputs.readers.parquet import DAMAGE
from pipelines.scan_directory.columns import ANCHOR, LAST_BEFORE_SCORES, SHIFT, WEIGHT
from pipelines.scan_directory.layout import ANCHORS, SCORES, VOTES, read_table, shard_file
from pipelines.storage import Directory
from pipelines.verify.tables import table_and_problems


def consensus_problems(
    output: Directory, config: Scan | Rescore, shards: Sequence[Shard], expected: str
) -> Iterator[str]:
    """What the consensus of a scan lacks, what it holds of another scan, and whether scores and sums are the votes'."""
    methods = config.methods()
    chosen = consensus_of(methods)
    if chosen is None:
        return
    check = _Check(output, expected, chosen, of_images(methods)[chosen.base], tuple(methods))
    agreement = check.recorded()
    if agreement:
        before = [replace(agreement, known=agreement.known[:step]) for step in range(agreement.steps)]
        for shard in shards:
            check.look_at(shard, agreement, before)
        check.compare(agreement)
    yield from check.problems


def consensus_files(config: Scan | Rescore, shards: Sequence[Shard]) -> list[str]:
    """The files of a finished scan's consensus; none if it was not asked for."""
    chosen = consensus_of(config.methods())
    if chosen is None:
        return []
    sums = [sums_file(step) for step in range(Agreement(chosen, 0).steps)]
    return [ANCHORS, *sums, *(shard_file(VOTES, shard.id) for shard in shards)]


@dataclass
class _Check:
    """Goes over the votes once, and sums them up for every round by what is recorded of the rounds before."""

    output: Directory
    expected: str
    chosen: Consensus
    base: ImageMethod
    methods: Sequence[str]
    problems: list[str] = field(default_factory=list)
    sums: list[Sums] = field(default_factory=list)

    def recorded(self) -> Agreement | None:
        """The recorded outcome of all rounds, None if one is missing, or the anchors."""
        anchors = self._read(ANCHORS)
        steps = Agreement(self.chosen, 0).steps
        tables = [self._read(sums_file(step)) for step in range(steps)]
        found = [sums_of(table) for table in tables if table is not None]
        if anchors is None or len(found) < steps:
            return None
        return Agreement(self.chosen, len(anchors), tuple(found))

    def look_at(self, shard: Shard, agreement: Agreement, before: Sequence[Agreement]) -> None:
        """Compares a shard's scores with its votes, and adds up these. `before`: what is known before each round."""
        scores_file, votes_file = shard_file(SCORES, shard.id), shard_file(VOTES, shard.id)
        voted, columns = self._read(votes_file), [score_column(method) for method in self.methods]
        try:
            scores = read_table(self.output, scores_file, [LAST_BEFORE_SCORES, *columns, ANCHOR, WEIGHT, SHIFT])
        except (FileNotFoundError, *DAMAGE):  # which is said elsewhere
            return
        if voted is None:
            return
        base = scores[score_column(self.chosen.base)].drop_null().to_numpy()
        votes = votes_of(voted)
        if len(voted) != len(scores) or len(votes) != len(base):
            self.problems.append(f"{votes_file} has not the rows of its score table")
        elif not np.array_equal(votes.log_odds, log_odds(base, self.base)):
            self.problems.append(f"{votes_file} is not of the scores by {self.chosen.base}")
        elif len(votes) and not 0 <= votes.anchors.min() <= votes.anchors.max() < agreement.anchor_count:
            self.problems.append(f"{votes_file} has votes on anchors that there are not")
        elif not with_consensus(scores, voted, agreement, self.methods).equals(scores):
            self.problems.append(f"{scores_file}: score_consensus is not what the votes come to")
        else:
            parts = [one.sums(votes) for one in before]
            self.sums = [known + part for known, part in zip(self.sums, parts, strict=True)] if self.sums else parts

    def compare(self, agreement: Agreement) -> None:
        """Compares the sums over all shards with the recorded ones, if there was nothing wrong with a shard."""
        if self.problems:
            return
        for step, (recorded, found) in enumerate(zip(agreement.known, self.sums, strict=True)):
            same = recorded.totals == found.totals and recorded.largest == found.largest
            if not same or not np.array_equal(recorded.anchors, found.anchors):
                self.problems.append(f"{sums_file(step)} is not what the votes come to")

    def _read(self, name: str) -> pa.Table | None:
        table, found = table_and_problems(self.output, name, self.expected)
        self.problems += found
        return table
