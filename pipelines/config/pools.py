"""The configuration of pools of workers: how many, and what each takes of the cluster."""

from pydantic import Field

from pipelines.config.base import Configuration, Positive


class Pool(Configuration):
    """A pool of workers. More workers change the speed, never the scores.

    `workers`: how many; `cpus`: of each; None: as the cluster allows.
    """

    workers: Positive | None = None
    cpus: float | None = Field(default=None, gt=0)


class EncodePool(Pool):
    """A pool of encoders. `gpus`: of each; `threads`: torch threads of each.

    `block`: images per forward pass, which the scores' last bits depend on (None: 16 on a CPU, 256 on a GPU).
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
