"""AUROC, FPR95 and AUPR of ID scores against OOD scores, by method and OOD set."""

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
"""The file that `--output` gets for each format."""
RELATIVE = ("reference", "consensus")
"""Methods whose scores are in standard deviations of their scan."""


@dataclass(frozen=True)
class Evaluation:
    """Metrics by method and OOD set, with the average over the sets under `average`.

    `sets`: how many records of each set have a score and how many have none, ID under `id`; `images`: how many have a
    score of each method, by method and set. `left_out`: the methods that only some of the sets have scores of, with the
    sets that lack them. `incomparable`: the methods whose scores are relative to their scan, where the sets are of
    several scans.
    """

    results: Mapping[str, Mapping[str, Metrics]]
    sets: Mapping[str, Mapping[str, int]]
    images: Mapping[str, Mapping[str, int]]
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    incomparable: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """The evaluation as JSON."""
        results = {
            method: {name: asdict(value) for name, value in of_sets.items()} for method, of_sets in self.results.items()
        }
        left_out = {"left_out": self.left_out, "incomparable": list(self.incomparable)}
        return {"results": results, "sets": self.sets, "images": self.images, **left_out}

    def to_markdown(self) -> str:
        """A Markdown table of AUROC / FPR95 in per cent, with a row for each method and a column for each OOD set."""
        names = list(next(iter(self.results.values())))
        rows = [["method", *names]]
        for method, of_sets in self.results.items():
            rows.append([method, *(f"{100 * m.auroc:.2f} / {100 * m.fpr95:.2f}" for m in of_sets.values())])
        lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
        lines.insert(1, "|---" * (len(names) + 1) + "|")
        return "\n".join(lines) + "\n"

    def to_csv(self) -> str:
        """A CSV table with a line for each method and OOD set, metrics as fractions at full precision.

        The line of the `average` counts the images of all OOD sets.
        """
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
        """The evaluation as text in each of the formats of `FILES`."""
        as_json = json.dumps(self.to_json(), indent=2) + "\n"
        return {"markdown": self.to_markdown(), "json": as_json, "csv": self.to_csv()}


def evaluate(
    id_urls: Sequence[str],
    ood_urls: Mapping[str, Sequence[str]],
    options: Mapping[str, Any],
    methods: Sequence[str] = (),
) -> Evaluation:
    """Metrics of the ID scores against the scores of each OOD set. Several URLs of a set are pooled.

    `id_urls`, `ood_urls`: scan directories, score tables or patterns of them, of the latter by the set's name;
    `options`: of the storage; `methods`: what to evaluate, in this order; if empty, all that every set has scores of.

    Raises CallerError if a set cannot be read, has no scores, or lacks a method asked for, if the sets have no method
    in common, or if scores of consensus from several scans would be compared.
    """
    for name in (AVERAGE, ID):
        if name in ood_urls:
            raise CallerError(f"--ood {name!r} is a name that the table uses itself; use another")
    inside = pooled_scores("--id", id_urls, options)
    outside = {name: pooled_scores(f"--ood {name}", urls, options) for name, urls in ood_urls.items()}
    missing = _missing({ID: inside, **outside})
    incomparable = _incomparable([inside, *outside.values()], missing)
    shared = [column for column, lacking in missing.items() if not lacking and column not in incomparable]
    if incomparable and (not shared or not set(map(_method, incomparable)).isdisjoint(methods)):
        raise CallerError(
            f"--method {_method(incomparable[0])}: its scores are relative to their scan, and the sets are of several; "
            "give --id and --ood score tables of one scan that has all the images"
        )
    if not shared:
        raise CallerError(f"--id {', '.join(map(repr, id_urls))} and the --ood sets have no score column in common")
    found = _evaluated(inside, outside, _chosen(methods, missing) if methods else shared)
    left_out = {_method(column): lacking for column, lacking in missing.items() if lacking and not methods}
    return replace(found, left_out=left_out, incomparable=[_method(column) for column in incomparable])


def parse_sets(given: Sequence[str]) -> dict[str, list[str]]:
    """The URLs of each OOD set by its name, from arguments `NAME=URI`; a name may be given several times.

    Raises CallerError for an argument without a name or a URI.
    """
    sets: dict[str, list[str]] = {}
    for assignment in given:
        for name, url in parse_texts("--ood", [assignment]).items():
            if not url:
                raise CallerError(f"--ood {assignment!r} names no URI; it is NAME=URI")
            sets.setdefault(name, []).append(url)
    return sets


def _evaluated(inside: Scores, outside: Mapping[str, Scores], columns: Sequence[str]) -> Evaluation:
    """The metrics of each of the score columns, which every set must have."""
    sets = {ID: inside, **outside}
    results = {}
    for column in columns:
        of_sets = {name: metrics(inside.columns[column], ood.columns[column]) for name, ood in outside.items()}
        results[_method(column)] = {**of_sets, AVERAGE: _average(list(of_sets.values()))}
    return Evaluation(
        results,
        sets={name: {"scored": s.records - s.unscored, "unscored": s.unscored} for name, s in sets.items()},
        images={_method(c): {name: len(s.columns[c]) for name, s in sets.items()} for c in columns},
    )


def _missing(sets: Mapping[str, Scores]) -> dict[str, list[str]]:
    """The sets that lack a score column in one of their tables, for each column of any set, in the order they come."""
    columns = dict.fromkeys(name for scores in sets.values() for name in (*scores.columns, *scores.partial))
    return {column: [name for name, scores in sets.items() if column not in scores.columns] for column in columns}


def _incomparable(sets: Sequence[Scores], missing: Mapping[str, Sequence[str]]) -> list[str]:
    """The score columns that every set has, but whose scores are relative to a scan, where the sets are of several."""
    scans = frozenset().union(*(scores.scans for scores in sets))
    columns = map(score_column, RELATIVE)
    return [column for column in columns if len(scans) > 1 and not missing.get(column, [column])]


def _chosen(methods: Sequence[str], missing: Mapping[str, Sequence[str]]) -> list[str]:
    """The score columns of the methods asked for, each once. Raises CallerError for one that a set lacks."""
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
    """The method of a score column as `--method` takes it; for an unknown one, what follows `score_`."""
    return {score_column(name): name for name in METHODS}.get(column, column.removeprefix("score_"))


def _average(all_sets: list[Metrics]) -> Metrics:
    """The unweighted mean of each metric over the OOD sets."""
    return Metrics(**{name: float(np.mean([getattr(one, name) for one in all_sets])) for name in vars(all_sets[0])})
