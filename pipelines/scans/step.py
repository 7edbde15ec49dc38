"""What every step of a scan is, and the loop over a list of them."""

import time
from collections.abc import Sequence
from typing import Any, Protocol

from pipelines.inputs.plan import Shard


class Step(Protocol):
    """A step of a scan: reads what earlier steps have committed, and commits one file a shard to a folder of its own.

    `name`: as the summary calls it; `folder`: where it commits; `needs`: the folders that it reads. A step knows of
    other steps nothing but these folders.
    """

    @property
    def name(self) -> str: ...

    @property
    def folder(self) -> str: ...

    @property
    def needs(self) -> tuple[str, ...]: ...

    def reads(self, shards: Sequence[Shard]) -> Sequence[Shard]:
        """The shards of which `needs` must hold a file before this step can do the given ones."""
        ...

    def run(self, shards: Sequence[Shard]) -> dict[str, Any]:
        """Commits the given shards, but for those that are committed. Returns what the summary tells of the work."""
        ...


def run_steps(steps: Sequence[Step], shards: Sequence[Shard]) -> dict[str, Any]:
    """Runs the steps in order so that the last one commits the given shards; what is committed already stays.

    Returns what the steps tell of their work, for the summary, and how many seconds each took.
    """
    wanted = [list(shards)]
    for step in reversed(steps):
        wanted.append(list(step.reads(wanted[-1])))
    told: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    for step, due in zip(steps, reversed(wanted[:-1]), strict=True):
        started = time.monotonic()
        told |= step.run(due)
        seconds[step.name] = time.monotonic() - started
    return {"steps_s": seconds, **told}
