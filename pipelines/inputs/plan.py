"""The plan of a scan or rescoring: its shards in order, as `plan.parquet` holds them."""

import hashlib
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ood_core.vectors import parquet_options
from pipelines.inputs.listing import File, Kind

NOT_PLAIN = re.compile(r"[^A-Za-z0-9_.-]+")
SLUG_LENGTH = 60
HASH_DIGITS = 8
SHARDS_AT_ONCE = 2**16


@dataclass(frozen=True, slots=True)
class Shard:
    """The unit of commit and resume: a tar, a range of a table's rows, or a slice of a folder or list of images.

    `id`: see `shard_id`. Of a table, `rows` rows from `start` on; None: as many as there are. In a `.npy` shard the
    second URL is that of the table of keys. `keys`: names of image files in the dataset, none of other files. `sizes`:
    bytes of each file; `versions`: of each, see `File`; none where nobody has looked.
    """

    id: str
    kind: Kind
    urls: Sequence[str]
    keys: Sequence[str]
    sizes: Sequence[int]
    fingerprint: str
    start: int = 0
    rows: int | None = None
    versions: Sequence[str] = ()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes)

    @property
    def files(self) -> Iterable[tuple[str, int, str]]:
        """URL, size and version of each file; "" for a version that is not known."""
        return zip(self.urls, self.sizes, self.versions or [""] * len(self.urls), strict=True)


SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "kind": pa.string(),
        "urls": pa.list_(pa.string()),
        "keys": pa.list_(pa.string()),
        "sizes": pa.list_(pa.int64()),
        "fingerprint": pa.string(),
        "start": pa.int64(),
        "rows": pa.int64(),
        "versions": pa.list_(pa.string()),
    }
)
"""The columns of `plan.parquet`: the fields of a shard, in their order."""


@dataclass(frozen=True)
class Plan:
    """Shards in order, and how many files were passed over, by kind."""

    shards: list[Shard]
    passed_over: Mapping[str, int]

    @property
    def size(self) -> int:
        """Bytes of all files, each counted once, however many shards it is cut into."""
        sizes = {url: size for shard in self.shards for url, size in zip(shard.urls, shard.sizes, strict=True)}
        return sum(sizes.values())

    @cached_property
    def fingerprint(self) -> str:
        """A digest that changes with any shard's files, and with their order."""
        digest = hashlib.sha256()
        for shard in self.shards:
            digest.update(f"{shard.id} {shard.fingerprint}\n".encode())
        return digest.hexdigest()[:16]

    def to_parquet(self) -> bytes:
        """The contents of `plan.parquet`, whose pages are checked when it is read."""
        buffer = io.BytesIO()
        with pq.ParquetWriter(buffer, SCHEMA, **parquet_options(SCHEMA)) as writer:
            for start in range(0, len(self.shards), SHARDS_AT_ONCE):
                writer.write_table(_block(self.shards[start : start + SHARDS_AT_ONCE]))
        return buffer.getvalue()


def passed_over_line(counts: Mapping[str, int]) -> str:
    """How many files were passed over, by kind, in a line."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


def read_plan(content: bytes) -> list[Shard]:
    """The shards in the contents of a `plan.parquet`. Raises ArrowException or OSError if it is damaged."""
    file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    if missing := set(SCHEMA.names).difference(file.schema_arrow.names):
        raise pa.ArrowInvalid(f"it has no column {min(missing)}")
    shards: list[Shard] = []
    for batch in file.iter_batches(SHARDS_AT_ONCE, columns=SCHEMA.names):
        shards += shards_of(pa.table(batch))
    return shards


def blocks_of(groups: Sequence[Sequence[Shard]]) -> list[pa.Table]:
    """A table for each group of shards: slices of one table of all, of which Ray sends no more than the slice."""
    whole, start, blocks = _block(list(itertools.chain.from_iterable(groups))), 0, []
    for group in groups:
        blocks.append(whole.slice(start, len(group)))
        start += len(group)
    return blocks


def shards_of(block: pa.Table) -> list[Shard]:
    """The shards in one table that `blocks_of` made."""
    columns = (_values(block.column(field.name), field.type) for field in SCHEMA)
    return [Shard(*values) for values in zip(*columns, strict=True)]


def _values(column: pa.ChunkedArray, kind: pa.DataType) -> Sequence[Any]:
    """The values of a column; lists as tuples, of which the empty ones take no memory."""
    if not pa.types.is_list(kind):
        return column.to_pylist()
    found: list[tuple[Any, ...]] = []
    for chunk in column.chunks:
        bounds = chunk.offsets.to_pylist()
        flat = chunk.values.slice(bounds[0], bounds[-1] - bounds[0]).to_pylist()
        found += [tuple(flat[start - bounds[0] : end - bounds[0]]) for start, end in itertools.pairwise(bounds)]
    return found


def _block(shards: Sequence[Shard]) -> pa.Table:
    """A table of `SCHEMA`."""
    columns = [pa.array([getattr(shard, field.name) for shard in shards], field.type) for field in SCHEMA]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def shard_id(name: str, url: str, start: int | None = None) -> str:
    """A readable name, fit for a file's, that stays the same when other files come and go.

    `name`, made plain, eight hexadecimal digits of the hash of `url` (that of the first file), and `start`, which tells
    apart the ranges that a table is cut into; None: it is not cut.
    """
    plain = NOT_PLAIN.sub("_", name)[:SLUG_LENGTH]
    digits = _digits(url, HASH_DIGITS)
    return f"{plain}-{digits}" if start is None else f"{plain}-{digits}-{start:08d}"


def _digits(text: str, count: int) -> str:
    """The first hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:count]


def files_fingerprint(files: Iterable[File], *numbers: int) -> str:
    """Sixteen hexadecimal digits that change with any of the files, their order, or the numbers."""
    digest = hashlib.sha256()
    for file in files:  # the lengths keep apart what might be read in two ways
        digest.update(f"{len(file.url)} {file.url} {file.size} {len(file.version)} {file.version}\n".encode())
    digest.update(repr(numbers).encode())
    return digest.hexdigest()[:16]


def told_apart(shards: list[Shard]) -> list[Shard]:
    """The shards; those that have the same id, which happens among millions of one name, get a longer hash as well."""
    if len({shard.id for shard in shards}) == len(shards):
        return shards
    times = Counter(shard.id for shard in shards)
    return [shard if times[shard.id] == 1 else _with_longer_id(shard) for shard in shards]


def _with_longer_id(shard: Shard) -> Shard:
    more = _digits(f"{shard.start} {shard.urls[0]}", 16)
    return replace(shard, id=f"{shard.id}-{more}")
