"""How well the scores of ID and OOD scans are told apart, per method and OOD set."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.core import has_magic

from ood_core.metrics import Metrics, metrics
from pipelines.commit import SCORES
from pipelines.errors import CallerError, first_line
from pipelines.storage import file_system

AVERAGE = "average"


@dataclass(frozen=True)
class Scores:
    """The scores of one set by column name, and how many of its records have none."""

    columns: Mapping[str, np.ndarray]
    records: int
    unscored: int


@dataclass(frozen=True)
class Evaluation:
    """Metrics by method and OOD set; `sets` counts scored and unscored records of each set, ID under `id`."""

    results: Mapping[str, Mapping[str, Metrics]]
    sets: Mapping[str, Mapping[str, int]]

    def to_json(self) -> dict[str, Any]:
        results = {
            method: {name: asdict(value) for name, value in of_sets.items()} for method, of_sets in self.results.items()
        }
        return {"results": results, "sets": self.sets}

    def to_markdown(self) -> str:
        """Rows are methods, columns OOD sets; AUROC / FPR95 in per cent."""
        names = list(next(iter(self.results.values())))
        lines = ["| method | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for method, of_sets in self.results.items():
            cells = [f"{100 * of_sets[name].auroc:.2f} / {100 * of_sets[name].fpr95:.2f}" for name in names]
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"


def evaluate(id_url: str, ood_urls: Mapping[str, str], options: Mapping[str, Any]) -> Evaluation:
    """Raises CallerError if a set cannot be read, has no scores, or the sets share no score column."""
    inside = read_scores("--id", id_url, options)
    outside = {name: read_scores(f"--ood {name}", url, options) for name, url in ood_urls.items()}
    for name in (AVERAGE, "id"):
        if name in outside:
            raise CallerError(f"--ood {name!r} is a name that the table uses itself; use another")
    shared = [column for column in inside.columns if all(column in ood.columns for ood in outside.values())]
    if not shared:
        raise CallerError(f"--id {id_url!r} and the --ood sets have no score column in common")
    results = {}
    for column in shared:
        of_sets = {name: metrics(inside.columns[column], ood.columns[column]) for name, ood in outside.items()}
        of_sets[AVERAGE] = _average(list(of_sets.values()))
        results[column.removeprefix("score_")] = of_sets
    sets = {
        name: {"scored": s.records - s.unscored, "unscored": s.unscored}
        for name, s in {"id": inside, **outside}.items()
    }
    return Evaluation(results, sets)


def read_scores(option: str, url: str, options: Mapping[str, Any]) -> Scores:
    """All score columns under a URL: a scan directory, one score table, or a pattern of score tables."""
    files, path = file_system(url, options)
    paths = [path]
    if files.isdir(path):
        paths = _tables_in(files, f"{path.rstrip('/')}/{SCORES}") or _tables_in(files, path)
    elif has_magic(path) and not files.exists(path):
        paths = sorted(map(str, files.glob(path)))
    if not paths or not files.exists(paths[0]):
        raise CallerError(f"{option} {url!r} is not a scan directory, a score table or a pattern that matches any")
    try:
        tables = [pq.read_table(pa.BufferReader(files.cat_file(name))) for name in paths]
    except (pa.ArrowException, OSError) as error:
        raise CallerError(
            f"{option} {url!r} holds a file that is not a readable score table: {first_line(error)}"
        ) from error
    try:
        table = pa.concat_tables([_scores_only(one, option, url) for one in tables])
    except pa.ArrowInvalid as error:
        raise CallerError(f"{option} {url!r} holds score tables with different score columns") from error
    columns = {name: table[name].drop_null().to_numpy() for name in table.column_names}
    if not columns or not all(len(values) for values in columns.values()):
        raise CallerError(f"{option} {url!r} holds no scored image")
    return Scores(columns, len(table), max(table[name].null_count for name in table.column_names))


def _tables_in(files: AbstractFileSystem, folder: str) -> list[str]:
    return sorted(str(name) for name in files.find(folder, maxdepth=1) if str(name).endswith(".parquet"))


def _scores_only(table: pa.Table, option: str, url: str) -> pa.Table:
    names = [name for name in table.column_names if name.startswith("score_")]
    if not names:
        raise CallerError(f"{option} {url!r} holds a table without a score column")
    return table.select(names).replace_schema_metadata(None)


def _average(all_sets: list[Metrics]) -> Metrics:
    return Metrics(**{name: float(np.mean([getattr(one, name) for one in all_sets])) for name in vars(all_sets[0])})
