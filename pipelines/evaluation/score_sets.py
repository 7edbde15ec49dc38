"""Reads the scores of a set of images from scan directories and score tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.core import has_magic

from pipelines.errors import CallerError
from pipelines.scan_directory.columns import SCORE_PREFIX
from pipelines.scan_directory.layout import FINGERPRINT_KEY, SCORES
from pipelines.storage import file_system, storage_errors


@dataclass(frozen=True)
class Scores:
    """The scores of one set of images by column; higher = more in-distribution. Records without a score are left out.

    `records`: how many records the set has; `unscored`: how many have no score; `partial`: columns that only some of
    the set's URLs have, whose scores are not kept; `scans`: the fingerprints of the scans that the tables are from.
    """

    columns: Mapping[str, np.ndarray]
    records: int
    unscored: int
    partial: tuple[str, ...] = ()
    scans: frozenset[bytes] = frozenset()


def pooled_scores(option: str, urls: Sequence[str], options: Mapping[str, Any]) -> Scores:
    """The scores under several URLs as one set. `option`: how messages name the set, such as `--ood far`.

    Raises CallerError if a URL cannot be read or is given twice.
    """
    for place, url in enumerate(urls):
        if url in urls[:place]:
            raise CallerError(f"{option} {url!r} is given twice; its images would be counted twice")
    parts = [read_scores(option, url, options) for url in urls]
    names = list(dict.fromkeys(name for part in parts for name in part.columns))
    shared = [name for name in names if all(name in part.columns for part in parts)]
    return Scores(
        columns={name: np.concatenate([part.columns[name] for part in parts]) for name in shared},
        records=sum(part.records for part in parts),
        unscored=sum(part.unscored for part in parts),
        partial=tuple(name for name in names if name not in shared),
        scans=frozenset().union(*(part.scans for part in parts)),
    )


def read_scores(option: str, url: str, options: Mapping[str, Any]) -> Scores:
    """The scores of all tables under a URL: a scan directory, a folder, one score table, or a pattern of them.

    Raises CallerError if there is no such table, one cannot be read or has other score columns than the first, or a
    column holds something else than finite numbers, or none.
    """
    files, path = file_system(url, options)
    with storage_errors(f"{option} {url!r}"):
        paths = _table_paths(files, path)
        there = bool(paths) and files.exists(paths[0])
    if not there:
        raise CallerError(f"{option} {url!r} is not a scan directory, a score table or a pattern that matches any")
    parts, scans = [], set[bytes]()
    for name in paths:
        with storage_errors(f"{option} {url!r}", f"holds a file that is not a readable score table, {name}"):
            table = pq.ParquetFile(pa.BufferReader(files.cat_file(name))).read()
            table.validate(full=True)
        scans.add((table.schema.metadata or {}).get(FINGERPRINT_KEY, b""))
        parts.append(_scores_only(table, f"{option} {url!r} holds {name}"))
        if other := set(parts[0].column_names) ^ set(parts[-1].column_names):
            differ = f"{paths[0]} and {name} differ in {min(other)!r}"
            raise CallerError(f"{option} {url!r} holds score tables with different score columns: {differ}")
    table = pa.concat_tables(part.select(parts[0].column_names) for part in parts)
    columns = {name: table[name].drop_null().to_numpy() for name in table.column_names}
    for name, values in columns.items():
        if not len(values):
            raise CallerError(f"{option} {url!r} holds no scored image: no row has a {name}")
    return Scores(columns, len(table), max(table[name].null_count for name in columns), scans=frozenset(scans))


def _table_paths(files: AbstractFileSystem, path: str) -> list[str]:
    """The paths of the tables that a path stands for; a path of no folder and no pattern stands for itself."""
    if files.isdir(path):
        return _tables_in(files, f"{path.rstrip('/')}/{SCORES}") or _tables_in(files, path)
    if has_magic(path) and not files.exists(path):
        return sorted(map(str, files.glob(path)))
    return [path]


def _tables_in(files: AbstractFileSystem, folder: str) -> list[str]:
    """The paths of the Parquet files directly in a folder, sorted."""
    return sorted(str(name) for name in files.find(folder, maxdepth=1) if str(name).endswith(".parquet"))


def _scores_only(table: pa.Table, where: str) -> pa.Table:
    """The score columns of a table in float64, without metadata. `where`: how messages begin that name the table.

    Raises CallerError if it has none, or one that holds something else than finite numbers.
    """
    names = [name for name in table.column_names if name.startswith(SCORE_PREFIX)]
    if not names:
        raise CallerError(f"{where}, a table without a score column")
    columns = {}
    for name in names:
        if names.count(name) > 1:
            raise CallerError(f"{where}, a table with {names.count(name)} columns {name!r}")
        kind = table.schema.field(name).type
        if not any(is_kind(kind) for is_kind in (pa.types.is_floating, pa.types.is_integer, pa.types.is_null)):
            raise CallerError(f"{where}, whose column {name!r} holds {kind}, not numbers")
        columns[name] = table[name].cast(pa.float64(), safe=False)
        if bad := int(np.count_nonzero(~np.isfinite(columns[name].drop_null().to_numpy()))):
            raise CallerError(f"{where}, whose column {name!r} has {bad} scores that are not finite numbers")
    return pa.table(columns)
