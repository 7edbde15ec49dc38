"""Commits shards though workers die over them: what kills again and again becomes rows that say so."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from pipelines.inputs.plan import Shard
from pipelines.scan_directory.receipts import Receipt
from pipelines.scans.workers.attempts import Turns, one_by_one
from pipelines.scans.workers.decode_watch import Place


class Careful:
    """Tells the actor `attempts` what its worker does, and heeds what has become of earlier workers.

    `commit` commits shards, `give_up` commits rows in place of one that workers die over. `slow`: the images that have
    been found to take too long to decode.
    """

    def __init__(
        self,
        attempts: Any,
        commit: Callable[[Sequence[Shard]], list[Receipt]],
        give_up: Callable[[Shard], Receipt],
    ) -> None:
        self.attempts, self.commit, self.give_up, self.turns = attempts, commit, give_up, Turns()
        self.begun, self.slow = set[str](), set[Place]()

    def __call__(self, shards: Sequence[Shard]) -> list[Receipt]:
        """Commits shards, one by one if a worker has died over one."""
        import ray

        ids = [shard.id for shard in shards]
        self.begun.update(ids)
        self.slow.update(ray.get(self.attempts.slow_in.remote(ids)))
        if any(ray.get(self.attempts.died_over.remote(ids))):
            with self.turns.alone():
                return one_by_one(self.attempts, ray.get, shards, lambda shard: self.commit([shard])[0], self.give_up)
        with self.turns.together():
            ray.get(self.attempts.begin.remote(ids))
            receipts = self.commit(shards)
        ray.get(self.attempts.leave.remote(ids))
        return receipts

    def end_over(self, place: Place) -> None:
        """Ends the worker, whose successor then passes over an image that takes too long to decode."""
        import ray

        try:
            ray.get(self.attempts.too_slow.remote(place, list(self.begun)))
        finally:
            os._exit(1)
