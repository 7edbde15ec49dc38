"""The last step of a scan: thresholds are settled, and every score table gets its flags."""

import itertools
from dataclasses import dataclass

import numpy as np

from ood_core.calibration import estimated
from ood_core.methods import score_column
from pipelines.config.pools import ScorePool
from pipelines.flags.asked import LEAST_IMAGES, AskedFlags
from pipelines.flags.calibrating import calibrated, calibrated_by_reference
from pipelines.flags.thresholds import MethodThreshold, Thresholds
from pipelines.flags.workers import FlagShards, FlagSpec
from pipelines.runtime.spread import over_workers
from pipelines.scan_directory.layout import SCORES
from pipelines.scan_directory.replace_tables import reopened
from pipelines.scan_directory.run import Run
from pipelines.scan_directory.sketch import Sketch, middles

BY_NEIGHBOURS = ("consensus", "verdicts", "reference")
FEW_RECORDS = 100_000
"""So many records are flagged here, in less time than tasks take to start."""


@dataclass(frozen=True)
class FlagStep:
    """Gives the score tables, all of which are committed, their columns of flags.

    In place: each table is replaced by itself with flags, at once. Until all are, no receipt counts, so that a run that
    is cut short is made good by the next.
    """

    this_run: Run
    asked: AskedFlags
    methods: tuple[str, ...]
    pool: ScorePool

    def run(self) -> None:
        """Settles the thresholds, records them, and flags every table that has not these flags."""
        run, thresholds = self.this_run, self._settled()
        records = run.tally.records
        parts = reopened(run, self.pool.workers or 1)
        thresholds.put(run.output)  # once no receipt tells of other flags any more
        spec = FlagSpec(
            run.output, run.fingerprints.scores, thresholds.values, thresholds.deciding, thresholds.group_by
        )
        for remark in _remarks(thresholds):
            run.say(remark)
        run.say(f"flags: {', '.join(_said(name, one) for name, one in thresholds.methods.items()) or 'none'}")
        if records <= FEW_RECORDS:
            receipts = itertools.chain.from_iterable(map(FlagShards(spec), parts))
        else:
            receipts = over_workers(self.pool, parts, FlagShards, (spec,))
        run.receive(SCORES, run.shards, receipts)

    def _settled(self) -> Thresholds:
        """Each method's threshold, from the first of the sources that has one."""
        asked, sketches = self.asked, self.this_run.tally.sketches
        found = {name: MethodThreshold(float(value), "given") for name, value in asked.given.items()}
        left = [name for name in self.methods if name not in found]
        if asked.calibrating and left:
            found |= calibrated(asked.calibrating, left, asked.keep, self.pool)
        found |= self._by_reference()
        found = {**asked.carried, **found}
        for name in self.methods:
            if name not in found and (cut := _estimated(sketches.get(score_column(name)))) is not None:
                found[name] = MethodThreshold(cut, "estimated")
        ordered = {name: found[name] for name in self.methods if name in found}
        return Thresholds(asked.identity(), asked.deciding, asked.group_by, ordered)

    def _by_reference(self) -> dict[str, MethodThreshold]:
        """The thresholds that the reference tells, if its images have been scored."""
        run, asked = self.this_run, self.asked
        names = asked.by_reference(self.methods)
        if not names or not asked.reference:
            return {}
        shards = [shard.id for shard in asked.reference.plan.shards]
        found = calibrated_by_reference(run.output, shards, names, asked.keep, self.pool)
        if not found:
            run.say(f"flags: the reference has fewer than {LEAST_IMAGES} images, too few to tell thresholds")
        return found


def _estimated(sketch: Sketch | None) -> float | None:
    """The threshold that the scan's own scores suggest; None if there are not two scores."""
    if sketch is None:
        return None
    buckets, counts = sketch.counted()
    return estimated(middles(buckets).astype(np.float64), counts)


def _remarks(thresholds: Thresholds) -> list[str]:
    """What is to be known of thresholds from other scans: some scores are in units of the scan that they are of."""
    return [
        f"the threshold of {name} comes from another scan, and its scores are in units of the scan that they are of: "
        "it holds where both have much the same mixture of images; a --reference tells one for this scan"
        for name, threshold in thresholds.methods.items()
        if name in BY_NEIGHBOURS and threshold.source in ("calibrated", "carried")
    ]


def _said(name: str, threshold: MethodThreshold) -> str:
    return f"{name} below {threshold.value:.6g} ({threshold.source})"
