"""What a scan found and what it cost: counts, quantiles, images/s by stage, and the stage that limits."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.methods import score_column
from pipelines.scan_directory.columns import ENCODER_READY, TIMES, WEIGHT

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MOST_SCORES = 1_000_000


@dataclass
class Tally:
    """Counts by status and score quantiles over committed shards.

    Keeps at most `MOST_SCORES` scores a method, every `stride`-th of those `seen`. `below_zero` counts scores that are
    no probabilities: of `debiased` where its normaliser turned negative.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    below_zero: Counter[str] = field(default_factory=Counter)
    stride: int = 1

    def add(self, table: pa.Table) -> None:
        """Counts the rows of a score table."""
        self.statuses.update(table["status"].to_pylist())
        for name in table.column_names:
            if (name.startswith("score_") and name not in TIMES) or name == WEIGHT:
                values = table[name].drop_null().to_numpy()
                kept = values[-self.seen[name] % self.stride :: self.stride]
                self.seen[name] += len(values)
                if name != score_column("consensus"):  # whose mean is 0
                    self.below_zero[name] += int((values < 0).sum())
                self.scores[name] = np.concatenate([self.scores.get(name, np.empty(0)), kept])
        while any(len(values) > MOST_SCORES for values in self.scores.values()):
            self.stride *= 2
            self.scores = {name: values[::2] for name, values in self.scores.items()}

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

    def described(self) -> dict[str, Any]:
        """The counts and quantiles, as `summary.json` has them."""
        quantiles = {
            name: dict(zip(map(str, QUANTILES), np.quantile(values, QUANTILES).tolist(), strict=True))
            for name, values in sorted(self.scores.items())
            if len(values)
        }
        statuses = dict(sorted(self.statuses.items()))
        return {
            "records": self.records,
            "bad_fraction": self.bad_fraction,
            "statuses": statuses,
            "quantiles": quantiles,
            "below_zero": {name: count for name, count in sorted(self.below_zero.items()) if count},
        }


@dataclass
class Clock:
    """Where the time of one run went, by the telemetry of the rows that its first step commits.

    `started`: seconds since the epoch. `pools`: the columns of `TIMES` that each pool of workers spends its time on.
    """

    started: float
    pools: Mapping[str, tuple[str, ...]]
    busy_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TIMES, 0.0))
    images: int = 0
    first_encoder: float | None = None
    first_commit: float | None = None

    def add(self, table: pa.Table, now: float) -> None:
        """Adds the rows of a shard that was committed at the time `now`."""
        for name in TIMES:
            self.busy_s[name] += float(np.nansum(table[name].to_numpy()))
        self.images += len(table)
        if len(table):
            ready = float(np.min(table[ENCODER_READY].to_numpy()))
            self.first_encoder = min(ready, self.first_encoder or ready)
        self.first_commit = self.first_commit or now

    def described(self, now: float, workers: Mapping[str, int]) -> dict[str, Any]:
        """Throughput of every stage and the pool that limits, as `summary.json` has them under `last_run`.

        `workers`: how many each pool has. `steady_images_per_s` counts from the first worker being ready to `now`.
        """
        if self.first_encoder is None or self.first_commit is None:
            return {"images": 0}
        stages = {
            name.removesuffix("_s"): {
                "busy_s": self.busy_s[name],
                "images_per_s": self.images / self.busy_s[name] * workers[pool] if self.busy_s[name] else None,
                "workers": workers[pool],
            }
            for pool, names in self.pools.items()
            for name in names
        }
        busy = {pool: sum(self.busy_s[name] for name in names) / workers[pool] for pool, names in self.pools.items()}
        return {
            "images": self.images,
            "wall_s": now - self.started,
            "start_up_s": self.first_encoder - self.started,
            "first_commit_after_encoder_s": self.first_commit - self.first_encoder,
            "steady_images_per_s": self.images / (now - self.first_encoder),
            "stages": stages,
            "limited_by": max(busy, key=lambda pool: busy[pool]),
        }
