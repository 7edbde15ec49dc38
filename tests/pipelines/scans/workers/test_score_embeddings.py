from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ood_core.labels import LabelBank
from ood_core.methods import learners_of, of_images
from ood_core.scores import score_dataset
from pipelines.config.methods import method_parameters
from pipelines.config.rescore import ReadEmbeddings
from pipelines.inputs.embedding_plan import plan_embeddings
from pipelines.inputs.plan import Plan, blocks_of
from pipelines.inputs.readers import row_groups
from pipelines.inputs.stored_embeddings import StoredEmbeddings
from pipelines.memory.files import candidates_of, memory_table
from pipelines.memory.workers import CountVerdicts, LearnFromEmbeddings, LearnSpec
from pipelines.runtime.cells import as_cell, from_cells
from pipelines.scan_directory.columns import END_OF_SHARD
from pipelines.scan_directory.commit import Committer
from pipelines.scans.workers.score_embeddings import ScoreEmbeddings, ScoreEmbeddingsSpec
from pipelines.scans.workers.score_sequential import ScoreInSequence
from pipelines.scans.workers.texts import Texts
from pipelines.storage import Directory

DIM, ROWS = 16, 50
READ = ReadEmbeddings(rows_per_shard=20)


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def bank() -> LabelBank:
    labels = unit(np.random.default_rng(0).normal(size=(12, DIM)))
    return LabelBank([f"label {n}" for n in range(12)], ["noun"] * 12, 4, labels, np.full(12, np.nan), [None] * 12)


@pytest.fixture
def images(bank: LabelBank) -> np.ndarray:
    random = np.random.default_rng(1)
    return unit(bank.embeddings[random.integers(12, size=ROWS)] + 0.2 * random.normal(size=(ROWS, DIM)))


@pytest.fixture
def planned(tmp_path: Path, images: np.ndarray) -> Plan:
    """Three shards, in which row 25 is bad."""
    cells = images.tolist()
    cells[25] = None
    pq.write_table(pa.table({"key": [f"k{row}" for row in range(ROWS)], "embedding": cells}), tmp_path / "a.parquet")
    return plan_embeddings([str(tmp_path)], READ, DIM, {})


def rescoring(bank: LabelBank, *methods: str, **given: object) -> ScoreEmbeddingsSpec:
    chosen = of_images(method_parameters(methods, {key.replace("__", "."): v for key, v in given.items()}))
    return ScoreEmbeddingsSpec(bank, chosen, StoredEmbeddings(READ, DIM, {}), Texts(None, None, {}))


def learning(bank: LabelBank, **given: object) -> LearnSpec:
    learners = learners_of(method_parameters(["adaneg"], {f"adaneg.{key}": value for key, value in given.items()}))
    return LearnSpec(bank, learners, StoredEmbeddings(READ, DIM, {}))


def shards_of(planned: Plan) -> pa.Table:
    return blocks_of([planned.shards])[0]


def test_shards_become_tables_that_end_with_their_count(bank: LabelBank, planned: Plan, images: np.ndarray) -> None:
    tables = list(ScoreEmbeddings(rescoring(bank, "mcm", "neglabel"))(shards_of(planned)))
    assert [len(table) for table in tables] == [21, 21, 11]
    assert [table["status"].to_pylist()[-1] for table in tables] == [END_OF_SHARD] * 3
    assert [table["index"].to_pylist() for table in tables] == [[*range(21)], [*range(21)], [*range(11)]]
    assert tables[1]["status"].to_pylist()[5] == "missing-embedding"
    assert tables[1]["score_mcm"].to_pylist()[5] is None
    found = np.concatenate([table["score_mcm"].to_numpy()[:-1] for table in tables])
    whole = score_dataset(bank, method_parameters(["mcm"], {}), torch.from_numpy(images), ["k"] * ROWS)
    expected = np.where(np.arange(ROWS) == 25, np.nan, whole.scores["mcm"])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("at_once", [1, 7, 20])
def test_a_shard_comes_in_parts_and_is_committed_as_one(
    bank: LabelBank, planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    whole = list(ScoreEmbeddings(rescoring(bank, "mcm"))(shards_of(planned)))
    monkeypatch.setattr(row_groups, "ROWS_PER_BATCH", at_once)
    committed: dict[str, pa.Table] = {}
    committer = Committer(Directory(str(tmp_path / "out")), "f", lambda shard, table: committed.update({shard: table}))
    parts = list(ScoreEmbeddings(rescoring(bank, "mcm"))(shards_of(planned)))
    assert len(parts) >= ROWS / at_once
    for part in reversed(parts):
        committer.add(part)
    for table in whole:
        columns = ["index", "key", "status", "score_mcm", "id_label", "negative_label"]
        assert (
            committed[table["shard"][0].as_py()].select(columns).equals(table.slice(0, len(table) - 1).select(columns))
        )


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("key", "input_key"), ("score_mcm", "input_score_mcm"), ("score_other", "input_score_other"),
        ("is_ood_mcm", "input_is_ood_mcm"), ("embedding", "input_embedding"), ("encode_s", "input_encode_s"),
        ("encoder_ready", "input_encoder_ready"), ("label", "label"),
    ],
)  # fmt: skip
def test_columns_of_the_input_do_not_pass_for_ours(bank: LabelBank, tmp_path: Path, given: str, ours: str) -> None:
    cells = {"name": ["a"], "vector": bank.embeddings[:1].tolist(), given: ["theirs"]}
    pq.write_table(pa.table(cells), tmp_path / "a.parquet")
    read = ReadEmbeddings(key_column="name", embedding_column="vector")
    spec = ScoreEmbeddingsSpec(
        bank, of_images(method_parameters(["mcm"], {})), StoredEmbeddings(read, DIM, {}), Texts(None, None, {})
    )
    shards = shards_of(plan_embeddings([str(tmp_path)], read, DIM, {}))
    (table,) = ScoreEmbeddings(spec)(shards)
    assert table[ours].to_pylist() == ["theirs", None]
    assert len(set(table.column_names)) == len(table.column_names)


def test_two_columns_do_not_end_under_one_name(bank: LabelBank, tmp_path: Path) -> None:
    cells = {"key": ["a"], "embedding": bank.embeddings[:1].tolist(), "shard": ["one"], "input_shard": ["two"]}
    pq.write_table(pa.table(cells), tmp_path / "a.parquet")
    (table,) = ScoreEmbeddings(rescoring(bank, "mcm"))(shards_of(plan_embeddings([str(tmp_path)], READ, DIM, {})))
    assert [table[name][0].as_py() for name in ("input_shard", "input_input_shard")] == ["one", "two"]


def test_shards_in_sequence_are_scored_at_once_a_cell_each(bank: LabelBank, planned: Plan, images: np.ndarray) -> None:
    spec = rescoring(bank, "adaneg", adaneg__order="sequential", adaneg__batch_size=8)
    tables = [table for cells in ScoreInSequence(spec)(shards_of(planned)) for table in from_cells(cells)]
    assert [len(table) for table in tables] == [21, 21, 11]
    good = np.arange(ROWS) != 25
    keys = [f"k{row}" for row in range(ROWS) if row != 25]
    expected = score_dataset(bank, spec.methods, torch.from_numpy(images[good]), keys).scores["adaneg"]
    found = np.concatenate([table["score_adaneg"].to_numpy()[:-1] for table in tables])
    np.testing.assert_array_equal(found[good], expected)


def test_a_table_becomes_a_cell_and_comes_back() -> None:
    table = pa.table({"a": [1, None], "b": [["x"], []]})
    (back,) = from_cells(as_cell(table))
    assert back.equals(table)


def test_what_shards_offer_a_memory_is_what_all_of_them_offer(bank: LabelBank, planned: Plan) -> None:
    learn = LearnFromEmbeddings(learning(bank, memory_length=3, groups=1), {})
    parts = list(learn(shards_of(planned)))
    assert [part["status"].to_pylist()[-1] for part in parts] == [END_OF_SHARD] * 3
    kept = [part.slice(0, len(part) - 1) for part in parts]
    assert {key for part in kept for key in part["key"].to_pylist()} <= {f"k{row}" for row in range(ROWS)} - {"k25"}
    forwards, backwards = (learn.learners["adaneg"].memory() for _ in range(2))
    for part in kept:
        forwards.offer(candidates_of(part, DIM))
    for part in reversed(kept):
        backwards.offer(candidates_of(part, DIM))
    memory = forwards.snapshot()
    assert len(memory) > 12
    assert memory_table("adaneg", memory).equals(memory_table("adaneg", backwards.snapshot()))
    again = candidates_of(memory_table("adaneg", memory), DIM)
    assert list(again.keys) == list(memory.keys)
    np.testing.assert_array_equal(again.embeddings, memory.embeddings)


def test_verdicts_are_counted_by_shard(bank: LabelBank, planned: Plan) -> None:
    spec = learning(bank, adaptive_gap=True, groups=1)
    rows = [row for part in CountVerdicts(spec, {})(shards_of(planned)) for row in part.to_pylist()]
    counted = [row for row in rows if row["status"] == "ok"]
    assert [row["method"] for row in counted] == ["adaneg"] * 3
    assert 30 < sum(row["verdicts"] for row in counted) < ROWS
    assert 0 < sum(row["positive"] for row in counted) < sum(row["verdicts"] for row in counted)
