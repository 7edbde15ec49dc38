"""What a scan found and what it cost: counts, quantiles, images/s by stage, and the stage that limits."""

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.methods import score_column
from pipelines.inputs.readers.record import OF_ARCHIVES
from pipelines.scan_directory.breakdown import NO_COUNTS, added_up
from pipelines.scan_directory.gallery import NO_CHOICES, merged
from pipelines.scan_directory.receipts import TIMES, with_last
from pipelines.scan_directory.sketch import Sketch

PENDING = 100_000
"""Choices for the gallery, and counts of images, that are gathered before they are brought together."""

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass
class Tally:
    """What committed shards come to, from their receipts, in whatever order these come: counts by status, members
    passed over, score quantiles, flags, and counts of images.

    `flagged`: by column of flags; `receipts`: one a shard, without what is brought together of all: sketches, choices
    and counts of images.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    passed_over: Counter[str] = field(default_factory=Counter)
    flagged: Counter[str] = field(default_factory=Counter)
    sketches: dict[str, Sketch] = field(default_factory=dict)
    receipts: list[pa.Table] = field(default_factory=list)
    _choices: list[pa.StructArray] = field(default_factory=list)
    _breakdown: list[pa.StructArray] = field(default_factory=list)

    def add(self, receipts: pa.Table) -> None:
        """Counts the rows of the shards that a table of receipts is of."""
        for name in ("statuses", "passed_over", "flagged"):
            counts, found = getattr(self, name), receipts[name].combine_chunks()
            for kind, count in zip(found.keys.to_pylist(), found.items.to_pylist(), strict=True):
                counts[kind] += count
        sketches = receipts["sketches"].combine_chunks().flatten()
        columns = sketches.field("column").to_pylist()
        for name in dict.fromkeys(columns):
            chosen = sketches.filter(pa.array([column == name for column in columns]))
            buckets, counts = (chosen.field(part).flatten().to_numpy() for part in ("buckets", "counts"))
            self.sketches.setdefault(name, Sketch()).add(buckets, counts)
        self._choices.append(receipts["choices"].combine_chunks().flatten())
        self._breakdown.append(receipts["breakdown"].combine_chunks().flatten())
        if sum(map(len, self._choices)) > PENDING:
            self.choices()
        if sum(map(len, self._breakdown)) > PENDING:
            self.breakdown()
        for name in ("sketches", "choices", "breakdown"):
            receipts = with_last(receipts, name, [])
        self.receipts.append(receipts)

    def clear(self) -> None:
        """Counts nothing any more."""
        self.__init__()

    def choices(self) -> pa.StructArray:
        """The images for the gallery, of all shards."""
        if len(self._choices) != 1:
            self._choices = [merged(pa.concat_arrays([NO_CHOICES, *self._choices]))]
        return self._choices[0]

    def breakdown(self) -> pa.StructArray:
        """The counts of images by label, anchor and group, of all shards."""
        if len(self._breakdown) != 1:
            self._breakdown = [added_up(pa.concat_arrays([NO_COUNTS, *self._breakdown]))]
        return self._breakdown[0]

    @property
    def is_flagged(self) -> bool:
        """Whether flags have been made in every shard that is counted."""
        return not any(table["flagged"].null_count for table in self.receipts)

    @property
    def verdicts(self) -> set[str | None]:
        """The digests of the verdicts that scores take in; one at the most, but while they are put right."""
        return {digest for table in self.receipts for digest in table["verdicts"].unique().to_pylist()}

    def shards(self) -> set[str]:
        """The ids of the shards that are counted."""
        return {shard for table in self.receipts for shard in table["shard"].to_pylist()}

    def bad_shards(self, archives: Container[str]) -> list[str]:
        """The ids, sorted, of the archives of which a stretch was damaged or could not be read."""
        if not any(self.statuses[status] for status in OF_ARCHIVES):
            return []
        return sorted(shard for shard in self.shards_with(OF_ARCHIVES) if shard in archives)

    def shards_with(self, statuses: Container[str]) -> list[str]:
        """The ids of the shards that hold a record of one of the statuses."""
        return [
            shard
            for table in self.receipts
            for shard, counts in zip(table["shard"].to_pylist(), table["statuses"].to_pylist(), strict=True)
            if any(status in statuses for status, _ in counts)
        ]

    def shards_in_error(self) -> set[str]:
        """The ids of the shards that hold a record without scores."""
        return set(self.shards_with([status for status in self.statuses if status != "ok"]))

    @property
    def records(self) -> int:
        return self.statuses.total()

    @property
    def scored(self) -> int:
        """How many records have scores."""
        return self.statuses["ok"]

    @property
    def bad_fraction(self) -> float:
        """The share of the records that have no scores."""
        return 1 - self.scored / self.records if self.records else 0.0

    def sketch_cells(self) -> list[dict[str, Any]]:
        """The sketches over all shards, as a cell of a table of receipts."""
        parts = ((name, *sketch.counted()) for name, sketch in sorted(self.sketches.items()))
        return [{"column": name, "buckets": buckets, "counts": counts} for name, buckets, counts in parts]

    def described(self) -> dict[str, Any]:
        """The counts and quantiles, as `summary.json` has them."""
        quantiles = {
            name: dict(zip(map(str, QUANTILES), found, strict=True))
            for name, sketch in sorted(self.sketches.items())
            if (found := sketch.quantiles(QUANTILES))
        }
        # `consensus` has a mean of 0; other scores below it are no probabilities.
        below_zero = {
            name: sketch.below_zero()
            for name, sketch in sorted(self.sketches.items())
            if name != score_column("consensus")
        }
        return {
            "records": self.records,
            "bad_fraction": self.bad_fraction,
            "statuses": dict(sorted(self.statuses.items())),
            "quantiles": quantiles,
            "below_zero": {name: count for name, count in below_zero.items() if count},
        }


@dataclass
class Clock:
    """Where the time of one run went, by the receipts of its first step.

    `started`: seconds since the epoch. `lanes`: how many threads of all workers do the work of each of `TIMES`.
    """

    started: float
    lanes: Mapping[str, int]
    busy_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TIMES, 0.0))
    images: int = 0
    first_worker: float | None = None
    first_commit: float | None = None

    def add(self, receipts: pa.Table) -> None:
        """Adds the shards of some receipts, but for those that an earlier run has committed."""
        done = receipts.filter(receipts["committed"].is_valid())
        if not len(done):
            return
        for name in TIMES:
            self.busy_s[name] += float(np.nansum(done[name].to_numpy()))
        self.images += int(np.sum(done["records"].to_numpy()))
        ready, committed = (float(np.min(done[name].to_numpy())) for name in ("ready", "committed"))
        self.first_worker = min(ready, self.first_worker or ready)
        self.first_commit = min(committed, self.first_commit or committed)

    def described(self, now: float) -> dict[str, Any]:
        """Throughput of every stage and the one that limits, as `summary.json` has them under `last_run`.

        `steady_images_per_s` counts from the first worker being ready to `now`.
        """
        if self.first_worker is None or self.first_commit is None or not self.images:
            return {"images": 0}
        stages = {
            name.removesuffix("_s"): {
                "busy_s": self.busy_s[name],
                "images_per_s": self.images / self.busy_s[name] * lanes if self.busy_s[name] else None,
                "threads": lanes,
            }
            for name, lanes in self.lanes.items()
        }
        return {
            "images": self.images,
            "wall_s": now - self.started,
            "start_up_s": self.first_worker - self.started,
            "first_commit_after_worker_s": self.first_commit - self.first_worker,
            "steady_images_per_s": self.images / (now - self.first_worker),
            "stages": stages,
            "limited_by": max(stages, key=lambda name: stages[name]["busy_s"] / stages[name]["threads"]),
        }
