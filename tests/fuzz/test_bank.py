"""What the reader of label banks has to withstand, by numbers of mutants; `surviving.py` says how to make one again."""

import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.memory import MemoryFileSystem

from ood_core.labels import BankInfo, LabelBank
from ood_core.labels.bank import INFO_FILE, LABELS_FILE
from ood_core.vectors import parquet_bytes
from pipelines.errors import CallerError
from pipelines.inputs.label_bank import load_bank
from pipelines.storage import Directory
from tests.fuzz.mutations import ANYWHERE, mutant
from tests.fuzz.surviving import PATIENCE, Check, survive

pytestmark = PATIENCE
MUTANTS = 8_000
ODD_TABLES = 2_000
FILES = MemoryFileSystem()
IDS, LABELS, DIM = 3, 9, 4
TEXTS = [f"label ä{row}" for row in range(LABELS)]
ODD_VALUES = [None, True, -1, 0, 10**30, 1e308, float("nan"), "", "none", "x" * 10_000, [], [[]], [0, 0], [10**20], {}]
"""What may stand in JSON where something else belongs."""


def bank(*, known: bool, images: bool) -> LabelBank:
    """A valid bank; `known`: with a description, `images`: with image embeddings, of which one is missing."""
    vectors = np.random.default_rng(0).normal(size=(LABELS, DIM))
    units = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    info = (
        BankInfo(model="bundled", prompts={"noun": ["a {}"]}, permutation=[2, 0, 1, 3, 4, 5]) if known else BankInfo()
    )
    mean = np.where(np.arange(IDS)[:, None] == 1, 0, units[:IDS]).astype(np.float32) if images else None
    nothing = np.full(LABELS, np.nan)
    return LabelBank(TEXTS, ["noun"] * LABELS, IDS, units, nothing, [None] * LABELS, info, mean)


BANKS = [bank(known=known, images=images) for known in (False, True) for images in (False, True)]


def load(labels: bytes, info: bytes | None) -> LabelBank | str:
    """The bank of these files, or why they are none."""
    FILES.store.clear()
    FILES.pipe_file(f"/{LABELS_FILE}", labels)
    if info is not None:
        FILES.pipe_file(f"/{INFO_FILE}", info)
    try:
        found = load_bank(Directory("memory://"))
    except CallerError as error:
        assert str(error).startswith("--labels 'memory://' is not a valid label bank: ")
        return str(error)
    check_valid(found)
    return found


def check_valid(found: LabelBank) -> None:
    """Holds a bank that was accepted to what methods take for granted."""
    rows = len(found.texts)
    assert 0 < found.id_count <= rows
    assert [len(found.parts), len(found.verdicts), *found.selection_scores.shape] == [rows] * 3
    assert all(isinstance(text, str) for text in [*found.texts, *found.parts])
    assert found.embeddings.shape == (rows, found.dim)
    assert np.allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=2e-3)
    assert sorted(found.permutation().tolist()) == list(range(found.negative_count))


def content_of(found: LabelBank | str) -> str:
    return found if isinstance(found, str) else found.content_hash()


def changed_json(content: bytes, chance: random.Random) -> bytes:
    """A description with one value or name that does not belong there, or that is deep."""
    described: dict[str, Any] = json.loads(content)
    value = chance.choice([*ODD_VALUES, "deep"])
    described[chance.choice([*described, "unknown"])] = value
    text = json.dumps(described if chance.random() < 0.9 else value)
    return text.replace('"deep"', "[" * 10_000 + "]" * 10_000).encode()


def make_mutants() -> Check:
    bases = [(one, one.to_files()) for one in BANKS]

    def check(chance: random.Random) -> None:
        whole, files = chance.choice(bases)
        labels, info = files[LABELS_FILE], files[INFO_FILE]
        which = chance.choice(["labels", "labels alone", "description", "values"])
        if which.startswith("labels"):
            labels, _ = mutant(labels, ANYWHERE, chance)
        elif which == "description":
            info, _ = mutant(info, ANYWHERE, chance)
        else:
            info = changed_json(info, chance)
        asked = (labels, None if which == "labels alone" else info)
        found = load(*asked)
        assert content_of(found) == content_of(load(*asked)), "it is read otherwise the second time"
        if which == "labels" and isinstance(found, LabelBank):
            assert found.texts == whole.texts and np.array_equal(found.embeddings, whole.embeddings), "another bank"

    return check


def make_odd_tables() -> Check:
    base = bank(known=False, images=True)
    columns = pq.read_table(pa.BufferReader(base.to_files()[LABELS_FILE]))

    def check(chance: random.Random) -> None:
        names, arrays = list(columns.column_names), [column.combine_chunks() for column in columns.columns]
        for _ in range(chance.choice([1, 1, 2])):
            place, odd = chance.randrange(len(names)), chance.choice(ODD_COLUMNS)(chance)
            if chance.random() < 0.2:
                names.append(names[place])
                arrays.append(odd)
            else:
                arrays[place] = odd
        labels = parquet_bytes(pa.Table.from_arrays(arrays, names))
        assert content_of(load(labels, None)) == content_of(load(labels, None))

    return check


def _ones(kind: pa.DataType) -> pa.Array:
    return pa.array([1] * LABELS, pa.int64()).cast(kind)


ODD_COLUMNS: list[Callable[[random.Random], pa.Array]] = [
    *(lambda _, kind=kind: _ones(kind) for kind in (pa.int64(), pa.float32(), pa.bool_(), pa.string(), pa.date64())),
    lambda _: pa.nulls(LABELS),
    lambda _: pa.array([2**62] * LABELS, pa.timestamp("us")),
    lambda _: pa.array([b"\xff"] * LABELS),
    lambda _: pa.array([b"id"] * LABELS),
    lambda _: pa.array(["id", "negative", None] * 3),
    lambda _: pa.array(["id"] * LABELS).dictionary_encode(),
    lambda _: pa.array([["id"]] * LABELS),
    lambda _: pa.array([{"a": 1}] * LABELS),
    lambda chance: pa.array([[chance.choice([0.5, 1.0, float("nan"), float("inf"), None])] * DIM for _ in TEXTS]),
    lambda chance: pa.array([[0.5] * chance.randint(0, DIM) for _ in TEXTS]),
    lambda _: pa.array([[]] * LABELS, pa.list_(pa.float32())),
    lambda _: pa.array([["x"]] * LABELS),
    lambda _: pa.array([[[1.0]]] * LABELS),
    lambda _: pa.array([[True]] * LABELS),
    lambda _: pa.array([[1]] * LABELS, pa.list_(pa.int8(), 1)),
    lambda _: pa.array([[1e300] * DIM] * LABELS),
]
"""Columns that other programs may have written in place of a bank's."""


def test_the_banks_are_valid_before_they_are_changed() -> None:
    for one in BANKS:
        files = one.to_files()
        assert content_of(load(files[LABELS_FILE], files[INFO_FILE])) == one.content_hash()


def test_no_mutant_of_a_bank_raises_hangs_or_is_taken_for_the_bank_it_was() -> None:
    survive(make_mutants, MUTANTS)


def test_a_table_with_any_column_in_place_of_another_is_a_bank_or_refused() -> None:
    survive(make_odd_tables, ODD_TABLES)
