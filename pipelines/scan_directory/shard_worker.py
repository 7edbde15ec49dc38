"""What workers of steps over tables have in common: they make a shard's rows, commit them and give a receipt."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipelines.inputs.plan import Shard, shards_of
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.receipts import Receipt, receipts_table


@dataclass(frozen=True)
class ShardRows:
    """All rows of a shard, in order. `times`: what the work took, by `TIMES`."""

    rows: pa.Table
    times: Mapping[str, float] = field(default_factory=dict)


MakeRows = Callable[[Shard], ShardRows]
"""Makes the rows of a shard."""


class CommitShards:
    """A worker that commits the shards of the ranges it is given; those that are committed already are passed over.

    `make`, `arguments`: what makes the rows. A shard is written while the rows of the next are made.
    """

    def __init__(self, committer: Committer, make: Callable[..., MakeRows], arguments: tuple[Any, ...]) -> None:
        self.committer, self.rows = committer, make(*arguments)
        self.ready = time.time()

    def __call__(self, shards: pa.Table) -> Iterator[pa.Table]:
        """For Ray Data: the receipts of a range of shards."""
        receipts: list[Receipt] = []
        writing: list[Future[Receipt]] = []  # of one shard at most: each takes memory
        with ThreadPoolExecutor(1) as writer:
            for shard in shards_of(shards):
                if known := self.committer.known(shard.id):
                    receipts.append(known)
                    continue
                made = self.rows(shard)
                receipts += [written.result() for written in writing]
                writing = [writer.submit(self._commit, shard, made)]
            receipts += [written.result() for written in writing]
        yield receipts_table(receipts)

    def _commit(self, shard: Shard, made: ShardRows) -> Receipt:
        start = time.perf_counter()
        receipt = self.committer.commit(shard.id, made.rows, {"ready": self.ready, **made.times})
        return receipt | {"write_s": time.perf_counter() - start}
