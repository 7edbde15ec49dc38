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
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.layout import SCORES, committed, read_table, shard_file
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


def scored(spec: ScoreEmbeddingsSpec, planned: Plan) -> list[pa.Table]:
    """The rows of each shard."""
    score = ScoreEmbeddings(spec)
    return [score(shard).rows for shard in planned.shards]


def test_a_shard_becomes_a_table_with_a_row_for_each_of_its_own(
    bank: LabelBank, planned: Plan, images: np.ndarray
) -> None:
    tables = scored(rescoring(bank, "mcm", "neglabel"), planned)
    assert [table["index"].to_pylist() for table in tables] == [[*range(20)], [*range(20)], [*range(10)]]
    assert tables[1]["status"].to_pylist()[5] == "missing-embedding"
    assert tables[1]["score_mcm"].to_pylist()[5] is None
    found = np.concatenate([table["score_mcm"].to_numpy() for table in tables])
    whole = score_dataset(bank, method_parameters(["mcm"], {}), torch.from_numpy(images), ["k"] * ROWS)
    expected = np.where(np.arange(ROWS) == 25, np.nan, whole.scores["mcm"])
    np.testing.assert_array_equal(found, expected)


def test_a_table_that_cannot_be_read_is_rows_that_say_so_in_any_order(
    bank: LabelBank, planned: Plan, tmp_path: Path
) -> None:
    (tmp_path / "a.parquet").unlink()
    tables = scored(rescoring(bank, "mcm"), planned)
    spec, output = rescoring(bank, "adaneg", adaneg__order="sequential"), Directory(str(tmp_path / "out"))
    shards = [shard.id for shard in planned.shards]
    list(ScoreInSequence(Committer(output, "f"), spec, frozenset(shards))(blocks_of([planned.shards])[0]))
    for found in (tables, [read_table(output, shard_file(SCORES, shard)) for shard in shards]):
        assert [table["index"].to_pylist() for table in found] == [[*range(20)], [*range(20)], [*range(10)]]
        assert {status for table in found for status in table["status"].to_pylist()} == {"unreadable-file"}
        assert "a.parquet cannot be read: " in found[0]["error"][0].as_py()
    assert tables[0]["score_mcm"].null_count == 20


def test_rows_of_one_key_are_scored_each_by_itself(bank: LabelBank, images: np.ndarray, tmp_path: Path) -> None:
    cells = {"key": ["same"] * ROWS, "embedding": images.tolist()}
    pq.write_table(pa.table(cells), tmp_path / "a.parquet")
    shards = plan_embeddings([str(tmp_path)], READ, DIM, {})
    found = pa.concat_tables(scored(rescoring(bank, "mcm"), shards))
    assert set(found["status"].to_pylist()) == {"ok"}
    learn = LearnFromEmbeddings(learning(bank, memory_length=3, groups=1), {})
    memories = [learn.learners["adaneg"].memory() for _ in range(2)]
    for memory, order in zip(memories, (shards.shards, shards.shards[::-1]), strict=True):
        for shard in order:
            memory.offer(candidates_of(learn(shard).rows, DIM))
    apart = {"key": [f"{row:02d}" for row in range(ROWS)], "embedding": images.tolist()}
    pq.write_table(pa.table(apart), tmp_path / "a.parquet")
    of_own_keys = learn.learners["adaneg"].memory()
    for shard in plan_embeddings([str(tmp_path)], READ, DIM, {}).shards:
        of_own_keys.offer(candidates_of(learn(shard).rows, DIM))
    for memory in memories:
        np.testing.assert_array_equal(memory.snapshot().embeddings, of_own_keys.snapshot().embeddings)


@pytest.mark.parametrize("at_once", [1, 7, 20])
def test_rows_do_not_depend_on_how_many_are_read_at_once(
    bank: LabelBank, planned: Plan, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    whole = scored(rescoring(bank, "mcm"), planned)
    monkeypatch.setattr(row_groups, "ROWS_PER_BATCH", at_once)
    assert scored(rescoring(bank, "mcm"), planned) == whole


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("key", "input_key"), ("score_mcm", "input_score_mcm"), ("score_other", "input_score_other"),
        ("is_ood_mcm", "input_is_ood_mcm"), ("embedding", "input_embedding"), ("label", "label"),
    ],
)  # fmt: skip
def test_columns_of_the_input_do_not_pass_for_ours(bank: LabelBank, tmp_path: Path, given: str, ours: str) -> None:
    cells = {"name": ["a"], "vector": bank.embeddings[:1].tolist(), given: ["theirs"]}
    pq.write_table(pa.table(cells), tmp_path / "a.parquet")
    read = ReadEmbeddings(key_column="name", embedding_column="vector")
    spec = ScoreEmbeddingsSpec(
        bank, of_images(method_parameters(["mcm"], {})), StoredEmbeddings(read, DIM, {}), Texts(None, None, {})
    )
    (table,) = scored(spec, plan_embeddings([str(tmp_path)], read, DIM, {}))
    assert table[ours].to_pylist() == ["theirs"]
    assert len(set(table.column_names)) == len(table.column_names)


def test_two_columns_do_not_end_under_one_name(bank: LabelBank, tmp_path: Path) -> None:
    cells = {"key": ["a"], "embedding": bank.embeddings[:1].tolist(), "shard": ["one"], "input_shard": ["two"]}
    pq.write_table(pa.table(cells), tmp_path / "a.parquet")
    (table,) = scored(rescoring(bank, "mcm"), plan_embeddings([str(tmp_path)], READ, DIM, {}))
    assert [table[name][0].as_py() for name in ("input_shard", "input_input_shard")] == ["one", "two"]


def test_shards_in_sequence_are_scored_at_once_and_those_wanted_are_committed(
    bank: LabelBank, planned: Plan, images: np.ndarray, tmp_path: Path
) -> None:
    spec = rescoring(bank, "adaneg", adaneg__order="sequential", adaneg__batch_size=8)
    output, (first, *wanted) = Directory(str(tmp_path / "out")), [shard.id for shard in planned.shards]
    worker = ScoreInSequence(Committer(output, "f"), spec, frozenset(wanted))
    (receipts,) = worker(blocks_of([planned.shards])[0])
    assert receipts["shard"].to_pylist() == wanted
    good = np.arange(ROWS) != 25
    keys = [f"k{row}" for row in range(ROWS) if row != 25]
    expected = score_dataset(bank, spec.methods, torch.from_numpy(images[good]), keys).scores["adaneg"]
    tables = [read_table(output, shard_file(SCORES, shard)) for shard in wanted]
    assert committed(output) == {*wanted} - {first}
    np.testing.assert_array_equal(
        np.concatenate([table["score_adaneg"].to_numpy() for table in tables])[good[20:]], expected[20:]
    )


def test_what_shards_offer_a_memory_is_what_all_of_them_offer(bank: LabelBank, planned: Plan) -> None:
    learn = LearnFromEmbeddings(learning(bank, memory_length=3, groups=1), {})
    kept = [learn(shard).rows for shard in planned.shards]
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
    count = CountVerdicts(spec, {})
    counted = [row for shard in planned.shards for row in count(shard).rows.to_pylist()]
    assert [row["method"] for row in counted] == ["adaneg"] * 3
    assert 30 < sum(row["verdicts"] for row in counted) < ROWS
    assert 0 < sum(row["positive"] for row in counted) < sum(row["verdicts"] for row in counted)
