"""TODO"""

from pydantic import Field

from pipelines.config.base import Positive, Section


class Pool(Section):
    """A pool of workers; None: fitted to the cluster. More workers change the speed, never the scores."""

    workers: Positive | None = None
    cpus: float | None = Field(default=None, gt=0)


class EncodePool(Pool):
    """`block`: images per forward pass, part of what the scores' last bits depend on; `batch_size`: rows per call.

    None: 16 and 64 on a CPU, 256 and 1024 on a GPU.
    """

    gpus: float | None = Field(default=None, ge=0)
    threads: Positive = 1
    block: Positive | None = None
    batch_size: Positive | None = None


class ScorePool(Pool):
    """Workers that read and score; None: one a GPU, else one a CPU."""

    gpus: float | None = Field(default=None, ge=0)
    threads: Positive = 1
