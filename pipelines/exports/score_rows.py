"""Reads the score tables of a scan in the order of its plan, each with what is decided of its rows."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import CallerError
from pipelines.exports.choice import Choice, Decided
from pipelines.inputs.plan import Shard
from pipelines.scan_directory.layout import SCORES, carries, shard_file, table_from
from pipelines.scan_directory.record import reading
from pipelines.storage import Directory

AT_ONCE = 16
"""Tables that are read at once, which hides how long a storage takes to answer."""


@dataclass(frozen=True)
class ScoreTables:
    """The score tables of a scan. `fingerprint`: that they must carry."""

    directory: Directory
    fingerprint: str

    def schema(self, shard: Shard) -> pa.Schema:
        """The schema of a shard's table. Raises CallerError if it cannot be read."""
        content = self._content(shard)
        with reading(self.directory.url, shard_file(SCORES, shard.id)):
            return pq.read_schema(pa.BufferReader(content))

    def read(self, shard: Shard, columns: Sequence[str]) -> pa.Table:
        """Those of the columns that a shard's table has. Raises CallerError if it cannot be read, or is another's."""
        name, content = shard_file(SCORES, shard.id), self._content(shard)
        with reading(self.directory.url, name):
            present = pq.read_schema(pa.BufferReader(content)).names
            table = table_from(content, [column for column in columns if column in present])
        if not carries(table, self.fingerprint):
            raise CallerError(f"SCAN {self.directory.url!r}: {name} is of another scan; see `oodscan verify`")
        return table.replace_schema_metadata(None)

    def decided(self, shard: Shard, choice: Choice, more: Sequence[str] = ()) -> Decided:
        """A shard's rows, and what the choice makes of each. `more`: columns that are wanted too."""
        rows = self.read(shard, list(dict.fromkeys([*choice.columns, *more])))
        return Decided(shard, rows, choice.reasons(rows))

    def all_decided(self, shards: Sequence[Shard], choice: Choice, more: Sequence[str] = ()) -> Iterator[Decided]:
        """The same of each of the shards, in order; a few of them are read ahead."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            ahead = deque(pool.submit(self.decided, shard, choice, more) for shard in shards[:AT_ONCE])
            for shard in shards[AT_ONCE:]:
                yield ahead.popleft().result()
                ahead.append(pool.submit(self.decided, shard, choice, more))
            while ahead:
                yield ahead.popleft().result()

    def _content(self, shard: Shard) -> bytes:
        name = shard_file(SCORES, shard.id)
        try:
            with reading(self.directory.url, name):
                return self.directory.read(name)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise CallerError(f"SCAN {self.directory.url!r} has no {name}; see `oodscan verify`") from error
