"""How well the scores of ID and OOD scans are told apart, per method and OOD set."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, fields, replace
from typing import Any

import numpy as np

from ood_core.methods import METHODS, score_column
from ood_core.metrics import Metrics, metrics
from pipelines.config.load import parse_texts
from pipelines.errors import CallerError
from pipelines.evaluation.score_sets import Scores, pooled_scores

AVERAGE, ID = "average", "id"
FILES = {"markdown": "metrics.md", "json": "metrics.json", "csv": "metrics.csv"}
"""What `--output` gets, by format."""


@dataclass(frozen=True)
class Evaluation:
    """Metrics by method and OOD set.

    `sets` counts scored and unscored records of each set, ID under `id`; `images` the scored ones by method and set.
    `left_out`: the methods that are scored in some of the sets only, with the sets where they are missing.
    `incomparable`: those whose scores are relative to their scan, where the sets are of more than one.
    """

    results: Mapping[str, Mapping[str, Metrics]]
    sets: Mapping[str, Mapping[str, int]]
    images: Mapping[str, Mapping[str, int]]
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    incomparable: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        results = {
            method: {name: asdict(value) for name, value in of_sets.items()} for method, of_sets in self.results.items()
        }
        left_out = {"left_out": self.left_out, "incomparable": list(self.incomparable)}
        return {"results": results, "sets": self.sets, "images": self.images, **left_out}

    def to_markdown(self) -> str:
        """Rows are methods, columns OOD sets; AUROC / FPR95 in per cent."""
        names = list(next(iter(self.results.values())))
        rows = [["method", *names]]
        for method, of_sets in self.results.items():
            rows.append([method, *(f"{100 * m.auroc:.2f} / {100 * m.fpr95:.2f}" for m in of_sets.values())])
        lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
        lines.insert(1, "|---" * (len(names) + 1) + "|")
        return "\n".join(lines) + "\n"

    def to_csv(self) -> str:
        """One line for each method and OOD set, `average` with all OOD images; fractions at full precision."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["method", "set", *(one.name for one in fields(Metrics)), "id_images", "ood_images"])
        for method, of_sets in self.results.items():
            images = {AVERAGE: 0, **self.images[method]}
            inside = images.pop(ID)
            images[AVERAGE] = sum(images.values())
            table.writerows([method, name, *astuple(found), inside, images[name]] for name, found in of_sets.items())
        return text.getvalue()

    def rendered(self) -> dict[str, str]:
        """What to print or write, by format."""
        as_json = json.dumps(self.to_json(), indent=2) + "\n"
        return {"markdown": self.to_markdown(), "json": as_json, "csv": self.to_csv()}


def evaluate(
    id_urls: Sequence[str],
    ood_urls: Mapping[str, Sequence[str]],
    options: Mapping[str, Any],
    methods: Sequence[str] = (),
) -> Evaluation:
    """`methods`: the rows, in this order; all that every set has a score of if empty. Several URLs are pooled.

    Raises CallerError if a set cannot be read, has no scores, or lacks a method asked for, or if the sets share none.
    """
    for name in (AVERAGE, ID):
        if name in ood_urls:
            raise CallerError(f"--ood {name!r} is a name that the table uses itself; use another")
    inside = pooled_scores("--id", id_urls, options)
    outside = {name: pooled_scores(f"--ood {name}", urls, options) for name, urls in ood_urls.items()}
    missing = _missing({ID: inside, **outside})
    apart = _incomparable([inside, *outside.values()], missing)
    shared = [column for column, lacking in missing.items() if not lacking and column not in apart]
    if apart and (not shared or not set(map(_method, apart)).isdisjoint(methods)):
        raise CallerError(
            "--method consensus: its scores are relative to their scan, and the sets are of several; give --id and "
            "--ood score tables of one scan that has all the images"
        )
    if not shared:
        raise CallerError(f"--id {', '.join(map(repr, id_urls))} and the --ood sets have no score column in common")
    found = _evaluated(inside, outside, _chosen(methods, missing) if methods else shared)
    left_out = {_method(column): lacking for column, lacking in missing.items() if lacking and not methods}
    return replace(found, left_out=left_out, incomparable=[_method(column) for column in apart])


def parse_sets(given: Sequence[str]) -> dict[str, list[str]]:
    """The URLs of each OOD set, from `NAME=URI` arguments; of one name there may be several."""
    sets: dict[str, list[str]] = {}
    for assignment in given:
        for name, url in parse_texts("--ood", [assignment]).items():
            if not url:
                raise CallerError(f"--ood {assignment!r} names no URI; it is NAME=URI")
            sets.setdefault(name, []).append(url)
    return sets


def parse_format(name: str | None, as_json: bool) -> str:
    """The format to print, `--json` being short for `--format json`."""
    if name is not None and name not in FILES:
        raise CallerError(f"--format {name!r} is unknown; the formats are {', '.join(FILES)}")
    if as_json and name not in (None, "json"):
        raise CallerError(f"--format {name!r} and --json contradict each other; give one of them")
    return "json" if as_json else name or "markdown"


def _evaluated(inside: Scores, outside: Mapping[str, Scores], columns: Sequence[str]) -> Evaluation:
    every = {ID: inside, **outside}
    results = {}
    for column in columns:
        of_sets = {name: metrics(inside.columns[column], ood.columns[column]) for name, ood in outside.items()}
        results[_method(column)] = {**of_sets, AVERAGE: _average(list(of_sets.values()))}
    return Evaluation(
        results,
        sets={name: {"scored": s.records - s.unscored, "unscored": s.unscored} for name, s in every.items()},
        images={_method(c): {name: len(s.columns[c]) for name, s in every.items()} for c in columns},
    )


def _missing(sets: Mapping[str, Scores]) -> dict[str, list[str]]:
    """For each score column of any set, in the order they come, the sets that do not have it in every table."""
    columns = dict.fromkeys(name for scores in sets.values() for name in (*scores.columns, *scores.partial))
    return {column: [name for name, scores in sets.items() if column not in scores.columns] for column in columns}


def _incomparable(sets: Sequence[Scores], missing: Mapping[str, Sequence[str]]) -> list[str]:
    """The score columns that every set has, but relative to its own scan."""
    column = score_column("consensus")
    scans = frozenset().union(*(scores.scans for scores in sets))
    return [column] if len(scans) > 1 and not missing.get(column, [column]) else []


def _chosen(methods: Sequence[str], missing: Mapping[str, Sequence[str]]) -> list[str]:
    """The columns of the methods asked for. Raises CallerError for one that a set lacks."""
    by_name = {_method(column): column for column in missing}
    there = ", ".join(name for name, column in by_name.items() if not missing[column])
    chosen = [by_name.get(method, score_column(method)) for method in methods]
    for method, column in zip(methods, chosen, strict=True):
        lacking = missing.get(column, ["any set"])
        if lacking:
            raise CallerError(
                f"--method {method!r} has no scores in {', '.join(lacking)}; all sets have scores of {there}"
            )
    return list(dict.fromkeys(chosen))


def _method(column: str) -> str:
    """A method's name as `--method` takes it; of an unknown one, what follows `score_`."""
    return {score_column(name): name for name in METHODS}.get(column, column.removeprefix("score_"))


def _average(all_sets: list[Metrics]) -> Metrics:
    return Metrics(**{name: float(np.mean([getattr(one, name) for one in all_sets])) for name in vars(all_sets[0])})
