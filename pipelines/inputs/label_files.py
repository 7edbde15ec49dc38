"""Reads files of labels as what they are: a label a line, CSV, JSON, JSON lines or YAML; never one for another."""

import csv
import io
import json
from collections.abc import Callable, Iterable
from typing import Any

import yaml

from ood_core.vocabulary import id_labels
from pipelines.inputs.readers.names import suffix_of

COLUMNS = ("label", "labels", "name", "names", "class", "classes", "class_name", "category", "categories", "text")
"""Names of the column, or of the key, that holds the labels where there are others."""


def labels_of(name: str, content: bytes) -> list[str]:
    """The labels of a file, by its suffix, in order; of any other kind than those above, a label a line.

    Raises ValueError, saying what is wrong, for a file that is not what its suffix says, or whose labels are not texts,
    blank or repeated.
    """
    suffix = suffix_of(name)
    read = READERS.get(suffix)
    if read is None:
        if content.lstrip()[:1] in (b"[", b"{") and content.rstrip()[-1:] in (b"]", b"}"):
            raise ValueError("it holds JSON, not a label a line; name it .json")
        return id_labels(content)
    try:
        found = read(content.decode("utf-8-sig"))
    except (ValueError, csv.Error, yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"it is no {suffix[1:].upper()} of labels: {' '.join(str(error).split())}") from error
    odd = [label for label in found if not isinstance(label, str) or "\n" in label or not label.strip()]
    if odd:
        raise ValueError(
            f"{odd[0]!r} is no label: a label is text in one line, in quotes where it could be another thing"
        )
    return id_labels("\n".join(found).encode())


def check_is_lines(name: str) -> None:
    """Raises ValueError for a file whose suffix says that it does not hold a text a line."""
    if suffix_of(name) in (*READERS, ".parquet", ".gz", ".zip"):
        raise ValueError(f"a {suffix_of(name)} file does not hold a word a line; write it as text")


def _of_json(text: str) -> list[Any]:
    return _of_values(json.loads(text))


def _of_json_lines(text: str) -> list[Any]:
    return _of_values([json.loads(line) for line in text.splitlines() if line.strip()])


def _of_yaml(text: str) -> list[Any]:
    return _of_values(yaml.safe_load(text))


def _of_values(values: Any) -> list[Any]:
    """The labels in a list, in a mapping from numbers or to them, or under the one key that holds some."""
    if isinstance(values, dict):
        if all(isinstance(key, int) or str(key).isdigit() for key in values):
            return [values[key] for key in sorted(values, key=int)]
        if all(isinstance(value, int) for value in values.values()):
            return sorted(values, key=lambda key: values[key])
        return _of_values(values[_one_of(values, "keys")])
    if isinstance(values, list):
        if values and all(isinstance(value, dict) for value in values):
            column = _one_of(values[0], "keys")
            return [value.get(column) for value in values]
        return values
    raise ValueError("there is no list of labels")


def _of_table(separator: str) -> Callable[[str], list[Any]]:
    def read(text: str) -> list[Any]:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row]
        if not rows:
            return []
        if len(rows[0]) == 1 and rows[0][0].strip().lower() not in COLUMNS:
            return [row[0] for row in _of_one_width(rows)]
        place = rows[0].index(_one_of(rows[0], "columns"))
        return [row[place] for row in _of_one_width(rows)[1:]]

    return read


def _of_one_width(rows: list[list[str]]) -> list[list[str]]:
    if odd := next((number for number, row in enumerate(rows, start=1) if len(row) != len(rows[0])), None):
        raise ValueError(f"row {odd} has {len(rows[odd - 1])} cells, the first has {len(rows[0])}")
    return rows


def _one_of(names: Iterable[str], called: str) -> str:
    """The one name, or the first of the usual ones."""
    given = list(names)
    usual = next((name for column in COLUMNS for name in given if str(name).strip().lower() == column), None)
    if usual is None and len(given) != 1:
        raise ValueError(f"none of the {called} {', '.join(map(str, given))} is one of {', '.join(COLUMNS)}")
    return given[0] if usual is None else usual


READERS: dict[str, Callable[[str], list[Any]]] = {
    ".json": _of_json,
    ".jsonl": _of_json_lines,
    ".ndjson": _of_json_lines,
    ".yaml": _of_yaml,
    ".yml": _of_yaml,
    ".csv": _of_table(","),
    ".tsv": _of_table("\t"),
}
