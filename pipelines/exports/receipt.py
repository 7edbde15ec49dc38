"""What is known of one file of an export: so that a rerun can tell that it is there, whole, and what it should be."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from pipelines.errors import ReadError
from pipelines.exports.choice import Decided
from pipelines.exports.output_files import RECEIPTS, placed
from pipelines.storage import Directory

SCHEMA = pa.schema(
    {
        "name": pa.string(),
        "digest": pa.string(),
        "bytes": pa.int64(),
        "kept": pa.int64(),
        "damaged": pa.int64(),
        "there": pa.bool_(),
        "problem": pa.string(),
        "is_mismatch": pa.bool_(),
    }
)
"""The columns of the tables that workers answer with: the fields of a receipt, in their order."""


@dataclass(frozen=True)
class Receipt:
    """What became of one output file.

    `digest`: of what it was made of; `kept`: its images; `damaged`: records of the input that stand for damage, and are
    left out. `there`: it was whole already. `bytes`: 0 if there is no file, for nothing could be read of the input;
    `problem`: why else there is none. `is_mismatch`: because it was not what it should be when it was read again.
    """

    name: str
    digest: str = ""
    bytes: int = 0
    kept: int = 0
    damaged: int = 0
    there: bool = False
    problem: str = ""
    is_mismatch: bool = False

    def put(self, output: Directory) -> None:
        """Writes the receipt, once the file is whole."""
        known = {name: getattr(self, name) for name in ("digest", "bytes", "kept", "damaged")}
        output.put(_path(self.name), json.dumps(known).encode())

    def to_table(self) -> pa.Table:
        """A table of one row."""
        return pa.Table.from_pylist([asdict(self)], SCHEMA)


def known_receipt(output: Directory, name: str, digest: str) -> Receipt | None:
    """The receipt of a file that is whole and made of what the digest tells; None if there is none."""
    try:
        receipt = Receipt(name, **json.loads(output.read(_path(name))), there=True)
        size = placed(output, name)[2]
    except (ReadError, FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    return receipt if (receipt.digest, receipt.bytes) == (digest, size) else None


def receipts_of(table: pa.Table) -> list[Receipt]:
    """The receipts in a table of `SCHEMA`."""
    return [Receipt(**row) for row in table.to_pylist()]


def digest_of(decided: Sequence[Decided]) -> str:
    """A digest that changes with the files of the shards, and with which of their records are kept."""
    digest = hashlib.sha256()
    for one in decided:
        digest.update(f"{one.shard.id} {one.shard.fingerprint} {len(one.rows)}\n".encode())
        digest.update(np.packbits(one.keep).tobytes())
    return digest.hexdigest()[:32]


def _path(name: str) -> str:
    return f"{RECEIPTS}/{name}.json"
