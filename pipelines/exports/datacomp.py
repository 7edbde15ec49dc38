"""DataComp's subset file: the uids of the records that are kept, as its resharder reads them."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from pipelines.errors import ReadError
from pipelines.exports.choice import Decided
from pipelines.exports.tars import sample_of
from pipelines.exports.worker import Job
from pipelines.inputs.plan import shards_of
from pipelines.inputs.readers.range_file import open_range
from pipelines.inputs.readers.tar import read_members
from pipelines.inputs.unchanged import while_unchanged
from pipelines.storage import file_system

UID = re.compile(r"[0-9a-fA-F]{32}")
UIDS = np.dtype("u8,u8")
"""A uid in the subset file: its first and its last 16 hexadecimal digits."""
MAX_JSON_BYTES = 2**20
"""Of a JSON file beside an image; a larger one is not looked into."""

FOUND = pa.schema({"uids": pa.large_binary(), "problem": pa.string()})
"""What a worker answers of a shard: the uids of its kept records, 16 bytes each, or why there are none."""


def write_subset(file: BinaryIO, parts: Iterable[np.ndarray]) -> None:
    """Writes a subset file of the uids, given in any order (README of github.com/mlfoundations/datacomp).

    All are sorted at once, in 16 bytes each, and twice that while they are put together.
    """
    uids = np.concatenate([np.zeros(0, UIDS), *parts])
    uids.sort()
    np.save(file, uids)


def packed(uids: Sequence[str]) -> np.ndarray:
    """Uids of 32 hexadecimal digits as `UIDS`."""
    return np.frombuffer(bytes.fromhex("".join(uids)), ">u8").astype("u8").view(UIDS)


def uids_in(file: BinaryIO, size: int) -> Iterator[tuple[str, str]]:
    """The uids in the JSON files of a tar, each with the sample that it is of."""
    for member in read_members(file, size, max_bytes=-1):
        if member.name.lower().endswith(".json") and member.data and member.data[1] <= MAX_JSON_BYTES:
            file.seek(member.data[0])
            try:
                found: Any = json.loads(file.read(member.data[1]))
            except (ValueError, RecursionError):
                continue
            uid = found.get("uid") if isinstance(found, dict) else None
            if isinstance(uid, str) and UID.fullmatch(uid):
                yield sample_of(member.name.removeprefix("./")), uid


def kept_uids(job: Job, decided: Decided) -> list[str]:
    """The uids of a shard's kept records: their keys, or, in a tar, what the JSON files beside them say.

    Raises ValueError, naming the record, if one has none, ReadError if the tar cannot be read.
    """
    rows, shard = decided.rows.filter(pa.array(decided.keep)), decided.shard
    keys: list[str | None] = rows["key"].to_pylist()
    if all(key and UID.fullmatch(key) for key in keys):
        return [key for key in keys if key]
    known: dict[str, str] = {}
    if shard.kind == "tar":
        files, path = file_system(shard.urls[0], job.output.options)
        file = open_range(files, path, shard.size, retry_s=job.read.retry_s)
        known = dict(while_unchanged(uids_in(file, shard.size), shard, job.output.options, job.read.retry_s))
    uids: list[str] = []
    for key, index in zip(keys, rows["index"].to_pylist(), strict=True):
        uid = key if key and UID.fullmatch(key) else known.get(sample_of(key or ""))
        if uid is None:
            also = ", nor is there a uid in a JSON file beside it" if shard.kind == "tar" else ""
            raise ValueError(f"the key of record {index} of {shard.id}, {key!r}, is no 32 hexadecimal digits{also}")
        uids.append(uid)
    return uids


def find_uids(job: Job, block: pa.Table) -> Iterator[pa.Table]:
    """For each shard in a table of shards a row of `FOUND`; for Ray."""
    for shard in shards_of(block):
        row = {"uids": b"", "problem": ""}
        try:
            row["uids"] = packed(kept_uids(job, job.tables.decided(shard, job.choice))).tobytes()
        except (ValueError, ReadError) as error:
            row["problem"] = str(error)
        yield pa.Table.from_pylist([row], FOUND)
