"""The configuration of pools of workers: how many, and what each takes of the cluster."""

import re
from typing import Any

from pydantic import Field, model_validator

from pipelines.config.base import Configuration, Positive

RANGE = re.compile(r"\s*(\d+)\s*-\s*(\d+)\s*")


class Pool(Configuration):
    """A pool of workers. More workers change the speed, never the scores.

    `workers`: how many; given as "2-8", at least 2, and up to 8 while the cluster grows (`least_workers`). `cpus`: of
    each. None: as the cluster allows. `wait_s`: how long to wait for a cluster that has no room for them yet.
    """

    workers: Positive | None = None
    least_workers: Positive | None = None
    cpus: float | None = Field(default=None, gt=0)
    wait_s: float = Field(default=600, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _from_range(cls, given: Any) -> Any:
        """Takes "2-8" for workers."""
        if not isinstance(given, dict) or not isinstance(given.get("workers"), str):
            return given
        if given["workers"].strip().isdecimal():
            return {**given, "workers": int(given["workers"])}
        found = RANGE.fullmatch(given["workers"])
        return given if found is None else {**given, "least_workers": found[1], "workers": found[2]}

    @model_validator(mode="after")
    def _least_is_less(self) -> "Pool":
        if self.least_workers and self.least_workers > (self.workers or self.least_workers):
            raise ValueError(f"at least {self.least_workers} workers and at most {self.workers} contradict each other")
        return self


class EncodePool(Pool):
    """A pool of encoders. `gpus`: of each; `threads`: torch threads of each.

    `block`: images per forward pass, which the scores' last bits depend on (None: 32 on a CPU, 256 on a GPU).
    `batch_size`: images scored at once (None: 128 on a CPU, 1024 on a GPU). `decode_threads`: of each, beside the one
    that encodes (None: as many as it has CPUs).
    """

    gpus: float | None = Field(default=None, ge=0)
    threads: Positive = 1
    block: Positive | None = None
    batch_size: Positive | None = None
    decode_threads: Positive | None = None


class ScorePool(Pool):
    """A pool of workers that read embeddings and score them; `workers` None: one a GPU, else one a CPU."""

    gpus: float | None = Field(default=None, ge=0)
    threads: Positive = 1
