"""The verdicts that a scan directory keeps: what was said of images, each with its embedding. Free of torch."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from ood_core.vectors import vectors_of
from pipelines.errors import CallerError
from pipelines.scan_directory.layout import KEPT_VERDICTS, read_table, table_bytes
from pipelines.storage import Directory, storage_errors
from pipelines.verdicts.tables import COLUMNS, checked, schema

WEIGHTS_KEY = b"oodscan.weights"
"""Metadata of a table of verdicts: the fingerprint of the weights that its embeddings were made by, if known."""


@dataclass(frozen=True)
class Verdicts:
    """Verdicts on images, in order, each image once by each who has judged it. `weights`: of the model of their
    embeddings, None if it is not known."""

    table: pa.Table
    weights: str | None

    @classmethod
    def of(cls, tables: Iterable[pa.Table], dim: int, called: str, weights: str | None = None) -> "Verdicts":
        """The verdicts of some tables; of several by one on the same image the last counts, if it says anything else.

        `called`: in messages; `weights`: of the model of their embeddings, unless they tell.
        Raises CallerError for tables that are of no verdicts, of embeddings of another length, or of several models.
        """
        found, told = list(tables), set[str]()
        rows = [checked(table, dim, called) for table in found]
        for table in found:
            if made_by := (table.schema.metadata or {}).get(WEIGHTS_KEY):
                told.add(made_by.decode(errors="replace"))
        if len(told) > 1:
            one, other, *_ = sorted(told)
            raise CallerError(f"{called} holds verdicts with embeddings of two models, {one[:12]}… and {other[:12]}…")
        whole = pa.concat_tables([schema(dim).empty_table(), *rows])
        return cls(_last_of_each(whole), next(iter(told), weights))

    def __len__(self) -> int:
        return len(self.table)

    def __bool__(self) -> bool:
        return len(self) > 0

    @property
    def embeddings(self) -> np.ndarray:
        """Unit vectors [verdicts, dim], in float32."""
        return vectors_of(self.table["embedding"]).astype(np.float32)

    @property
    def belongs(self) -> np.ndarray:
        return self.table["belongs"].to_numpy()

    @property
    def images(self) -> list[bytes]:
        """What tells the images apart, of each verdict: the embedding."""
        return _images(self.table)

    @cached_property
    def digest(self) -> str:
        """A digest of all that scores depend on: embeddings, what was said of them, and by whom."""
        found = hashlib.blake2b(digest_size=16)
        for image, belongs, by in zip(
            self.images, self.table["belongs"].to_pylist(), self.table["by"].to_pylist(), strict=True
        ):
            found.update(repr((image.hex(), belongs, by)).encode())
        return found.hexdigest()

    def check_weights(self, weights: str | None, called: str = "--verdicts") -> None:
        """Raises CallerError if the embeddings were made by another model than the one with these weights."""
        if None not in (weights, self.weights) and weights != self.weights:
            raise CallerError(
                f"{called} holds verdicts on embeddings by another model: its weights are {str(self.weights)[:12]}…, "
                f"those of this one {str(weights)[:12]}…"
            )


def kept_verdicts(scan: Directory, dim: int) -> Verdicts:
    """The verdicts that a scan directory keeps; none if it has none. Raises CallerError for files that are no such."""
    called = f"{scan.url}/{KEPT_VERDICTS}"
    with storage_errors(repr(called)):
        names = [name for name in scan.names(KEPT_VERDICTS) if name.startswith("part-") and name.endswith(".parquet")]
    return Verdicts.of([_part(scan, f"{KEPT_VERDICTS}/{name}", dim) for name in sorted(names)], dim, repr(called))


def _part(scan: Directory, name: str, dim: int) -> pa.Table:
    """A file of verdicts. Raises CallerError, which names it, if it is none."""
    called = repr(f"{scan.url}/{name}")
    with storage_errors(called):
        table = read_table(scan, name)
    return checked(table, dim, called)


def keep(scan: Directory, verdicts: Verdicts) -> Verdicts:
    """Keeps verdicts in a scan directory, beside those that it has; returns all of them.

    One file for those that are new, named after its content. Raises CallerError if those there are of another model.
    """
    dim = verdicts.table.schema.field("embedding").type.list_size
    before = kept_verdicts(scan, dim)
    called = f"{scan.url}/{KEPT_VERDICTS}"
    before.check_weights(verdicts.weights, repr(called))
    after = Verdicts.of([_with_weights(some.table, some.weights) for some in (before, verdicts)], dim, repr(called))
    known = set(_rows(before.table))
    new = [place for place, row in enumerate(_rows(after.table)) if row not in known]
    if new:
        weights = after.weights
        table = _with_weights(after.table.take(pa.array(new)), weights).combine_chunks()
        content = table_bytes(table, table.schema.metadata or {})
        scan.put(f"{KEPT_VERDICTS}/part-{hashlib.sha256(content).hexdigest()[:16]}.parquet", content)
    return after


def _with_weights(table: pa.Table, weights: str | None) -> pa.Table:
    return table.replace_schema_metadata({WEIGHTS_KEY: weights} if weights else None)


def _images(table: pa.Table) -> list[bytes]:
    return [row.tobytes() for row in vectors_of(table["embedding"])]


def _rows(table: pa.Table) -> list[tuple]:
    columns = [table[name].to_pylist() for name in COLUMNS]
    return list(zip(_images(table), *columns, strict=True))


def _last_of_each(table: pa.Table) -> pa.Table:
    """The rows in order of time, of each image and judge the last; of what is said again and again, the first."""
    said = list(zip(*(table[name].to_pylist() for name in COLUMNS if name != "at"), strict=True))
    last: dict[tuple, tuple[tuple, int]] = {}
    for row in sorted(_numbered(table), key=lambda row: row[0]):
        judged = row[0][-1], row[0][-2]  # image, judge
        if judged not in last or said[last[judged][1]] != said[row[1]]:
            last[judged] = row
    places = [number for _, number in sorted(last.values(), key=lambda row: row[0])]
    return table.take(pa.array(places, pa.int64())).combine_chunks()


def _numbered(table: pa.Table) -> list[tuple[tuple, int]]:
    """What rows are sorted by, each with its number: time, place, what was said, by whom, and the image."""
    columns = [table[name].cast(pa.int64() if name == "at" else table[name].type).to_pylist() for name in
               ("at", "shard", "index", "belongs", "by")]  # fmt: skip
    keys = zip(*columns, _images(table), strict=True)
    return [
        ((at or 0, shard or "", -1 if index is None else index, belongs, by or "", image), number)
        for number, (at, shard, index, belongs, by, image) in enumerate(keys)
    ]
