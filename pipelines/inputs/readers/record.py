"""A record (one image of a shard), and every status that a record can have."""

from dataclasses import dataclass

STATUSES = {
    "ok": "scored",
    "empty-file": "the image has no bytes",
    "missing-image": "the Parquet table has a null where the image should be, or no image column",
    "unreadable-image": "the bytes are not a picture in a supported format",
    "truncated-image": "the picture breaks off",
    "too-large": "more bytes than --max-image-bytes (or its page of a table is), or pixels than --max-image-pixels",
    "too-slow": "the image is not decoded within --max-decode-s",
    "unreadable-file": "the file could not be read or is gone (a rerun tries again), or has changed since the plan",
    "unsupported-member": "a symbolic link, a sparse file, or a hard link to nothing in a tar",
    "crashed-worker": "workers have died, one after the other, while they read the image's shard",
    "damaged-archive": "part of a tar or Parquet file is damaged; in a tar it may hide several records",
    "truncated-archive": "the tar breaks off",
    "missing-key": "the table of embeddings has a null where the key should be",
    "missing-embedding": "a null where the embedding should be",
    "wrong-dimension": "the embedding has another length than those of the label bank",
    "not-finite": "the embedding holds NaN or infinity",
    "zero-vector": "the embedding is all zeros",
    "not-unit-norm": "the embedding is not of unit length; --normalize mends it",
}
"""Every value of a score table's `status` column, and what it means."""


UNREAD = "unreadable-file"
"""The status of what could not be read now, and may be another time."""
OF_ARCHIVES = (UNREAD, "crashed-worker", "damaged-archive", "truncated-archive")
"""The statuses of records that stand for a stretch of an archive, however many records that held."""


@dataclass(frozen=True, slots=True)
class Record:
    """One image of a shard: its name in the dataset and its bytes, or why there are none; and where the bytes are.

    `url`: of the file. `offset`, `length`: of the bytes in a tar, None elsewhere; of a damaged stretch, where that is
    known. `row`: the row's number in the file of a table, None elsewhere.
    """

    key: str
    content: bytes = b""
    status: str = "ok"
    error: str | None = None
    url: str = ""
    offset: int | None = None
    length: int | None = None
    row: int | None = None
