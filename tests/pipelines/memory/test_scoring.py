"""Scorers that fill a memory, as plain objects beside actors that are plain objects."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from ood_core.labels import LabelBank
from ood_core.methods import AdaNeg, ImageMethod, InterNeg, LearningMethod, NegLabel
from ood_core.scores import score_dataset
from pipelines.inputs.plan import Shard
from pipelines.memory.actor import MemorySpec
from pipelines.memory.client import CommitToMemory, MemoryClient
from pipelines.memory.scoring import MemoryScorer, MemoryUse
from pipelines.scan_directory.columns import OFFERS, VERSION
from pipelines.scan_directory.encoded import EncodedEmbeddings
from pipelines.scan_directory.layout import ENCODED, shard_file, table_bytes
from pipelines.scans.workers.score_learned import ScoreLearned, ScoreLearnedSpec
from tests.pipelines.memory.local_actors import LocalActors, files

DIM, IMAGES, BATCH = 16, 300, 40
KEYS = [f"{chr(97 + number % 26)}{number:03d}" for number in range(IMAGES)]


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def bank() -> LabelBank:
    labels = unit(np.random.default_rng(0).normal(size=(16, DIM)))
    made = LabelBank([f"label {n}" for n in range(16)], ["noun"] * 16, 4, labels, np.full(16, np.nan), [None] * 16)
    return replace(made, info=replace(made.info, temperature=0.1))


@pytest.fixture(scope="module")
def images(bank: LabelBank) -> torch.Tensor:
    random = np.random.default_rng(1)
    near = bank.embeddings[random.integers(16, size=IMAGES)]
    return torch.from_numpy(unit(near + 0.15 * random.normal(size=(IMAGES, DIM))))


def adaneg(**given: object) -> AdaNeg:
    return replace(AdaNeg(groups=3, memory_length=4), **given)  # pyright: ignore[reportArgumentType]


def scorer_of(
    bank: LabelBank,
    actors: LocalActors,
    learners: dict[str, LearningMethod],
    methods: dict[str, ImageMethod],
    **given: int,
) -> MemoryScorer:
    return MemoryScorer(MemoryUse(memory=actors.spec, learners=learners, **given), bank, methods, "cpu", None, actors)


def actors_of(bank: LabelBank, learners: dict[str, LearningMethod], streaming: bool = False) -> LocalActors:
    names = frozenset(learners if streaming else ())
    capacities = {name: chosen.capacities(len(bank.texts), bank.id_count, False) for name, chosen in learners.items()}
    return LocalActors(MemorySpec("memory", files(DIM), capacities, 2, names))


@pytest.mark.parametrize("adaptive_gap", [False, True])
@pytest.mark.parametrize("proxies", ["task", "sample"])
def test_one_worker_in_streaming_order_with_no_staleness_goes_the_papers_way(
    bank: LabelBank, images: torch.Tensor, adaptive_gap: bool, proxies: str
) -> None:
    chosen = adaneg(adaptive_gap=adaptive_gap, proxies=proxies, order="streaming")
    actors = actors_of(bank, {"adaneg": chosen}, streaming=True)
    score = scorer_of(bank, actors, {"adaneg": chosen}, {"adaneg": chosen})
    found = []
    for start in range(0, IMAGES, BATCH):
        actors.now += 1
        scores, _ = score(images[start : start + BATCH], None, KEYS[start : start + BATCH])
        found.append(scores.scores["adaneg"])
    papers = replace(chosen, order="sequential", batch_size=BATCH)
    expected = score_dataset(bank, {"adaneg": papers}, images, KEYS).scores["adaneg"]
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_a_worker_asks_for_news_when_it_is_as_far_behind_as_it_may_be(bank: LabelBank, images: torch.Tensor) -> None:
    chosen = adaneg(order="streaming")
    actors = actors_of(bank, {"adaneg": chosen}, streaming=True)
    score = scorer_of(bank, actors, {"adaneg": chosen}, {"adaneg": chosen}, max_staleness=2, batch_size=BATCH)
    versions = []
    for start in range(0, 7 * BATCH, BATCH):
        actors.now += 1
        _, columns = score(images[start : start + BATCH], None, KEYS[start : start + BATCH])
        versions.append(columns[VERSION].to_pylist()[0])
    assert versions[0] == versions[1] == versions[2] < versions[3] == versions[4] == versions[5] < versions[6]


def encoded(
    bank: LabelBank, images: torch.Tensor, learners: dict[str, LearningMethod], named: list[str] = KEYS
) -> LocalActors:
    """Three shards encoded by two workers, stored; the last image of each is bad."""
    actors = actors_of(bank, learners)
    workers = [scorer_of(bank, actors, dict(learners), {"neglabel": NegLabel(groups=2)}) for _ in range(2)]
    for shard, start in enumerate(range(0, IMAGES, 100)):
        here, keys = images[start : start + 100], named[start : start + 100]
        scores, columns = workers[shard % 2](here, None, keys)
        vectors = pa.array([*here.numpy(), None], pa.list_(pa.float32(), DIM))
        names, static = [*keys, "bad"], [*scores.scores["neglabel"], None]
        rows = {"key": names, "negative_label": names, "score_neglabel": static, "embedding": vectors}
        output = actors.spec.files.output
        output.put(shard_file(ENCODED, str(shard)), table_bytes(pa.table(rows), {}))
        CommitToMemory(actors.spec, actors)(str(shard), offered(columns[OFFERS], keys))
    return actors


def offered(column: pa.Array, keys: list[str]) -> pa.Table:
    offers = pa.Table.from_struct_array(column.flatten())
    return offers.append_column("key", pa.array(keys).take(column.value_parent_indices()))


@pytest.mark.parametrize("keys", [KEYS, [key[0] for key in KEYS], [""] * IMAGES], ids=["own", "repeated", "none"])
@pytest.mark.parametrize("memory_length", [1, 4])
def test_encoding_and_scoring_find_what_one_process_finds(
    bank: LabelBank, images: torch.Tensor, memory_length: int, keys: list[str]
) -> None:
    chosen, static = adaneg(memory_length=memory_length), NegLabel(groups=2)
    actors = encoded(bank, images, {"adaneg": chosen}, keys)
    learned = MemoryClient(actors.spec, actors).remembered()
    assert len(learned["adaneg"]) == (0 if memory_length == 1 else 30)
    output = actors.spec.files.output
    spec = ScoreLearnedSpec(
        output, bank, ("adaneg", "neglabel"), {"adaneg": chosen}, {}, MemoryUse(learned, 3),
        EncodedEmbeddings(output, DIM), "float16",
    )  # fmt: skip
    shards = [Shard(str(number), "tar", [], [], [], "") for number in range(3)]
    score = ScoreLearned(spec)
    table = pa.concat_tables([score(shard).rows for shard in shards])
    assert table.column_names == [
        "key", "negative_label", "score_adaneg", "score_neglabel", "memory_version", "embedding",
    ]  # fmt: skip
    good = table.filter(table["score_adaneg"].is_valid())
    expected = score_dataset(bank, {"adaneg": chosen, "neglabel": static}, images, keys).scores
    assert good["key"].to_pylist() == keys
    np.testing.assert_array_equal(good["score_adaneg"].to_numpy(), expected["adaneg"])
    np.testing.assert_array_equal(good["score_neglabel"].to_numpy(), expected["neglabel"])
    assert set(good["memory_version"].to_pylist()) == {3}
    assert good.schema.field("embedding").type == pa.list_(pa.float16(), DIM)


def test_images_may_be_offered_to_two_methods_and_to_two_rows(bank: LabelBank, images: torch.Tensor) -> None:
    learners = {"adaneg": adaneg(), "interneg": InterNeg(groups=2, invert_below=0.9)}
    actors = encoded(bank, images, learners)
    found = MemoryClient(actors.spec, actors).remembered()
    keys = [set(found[name].keys) for name in learners]
    assert keys[0] & keys[1]
    inverted, of_labels = found["interneg"].of_rows(0, 1), found["interneg"].of_rows(1, 5)
    assert set(inverted.keys) & set(of_labels.keys)


def test_what_was_learned_before_is_scored_against_and_its_version_said(bank: LabelBank, images: torch.Tensor) -> None:
    chosen = adaneg()
    learned = MemoryClient((actors := encoded(bank, images, {"adaneg": chosen})).spec, actors).remembered()
    score = MemoryScorer(MemoryUse(learned, 7), bank, {"adaneg": chosen})
    scores, columns = score(images, None, KEYS)
    np.testing.assert_array_equal(
        scores.scores["adaneg"], score_dataset(bank, {"adaneg": chosen}, images, KEYS).scores["adaneg"]
    )
    assert set(columns[VERSION].to_pylist()) == {7}


def test_no_images_are_no_offers_and_no_scores(bank: LabelBank, images: torch.Tensor) -> None:
    chosen = adaneg(order="streaming")
    actors = actors_of(bank, {"adaneg": chosen}, streaming=True)
    scores, columns = scorer_of(bank, actors, {"adaneg": chosen}, {"adaneg": chosen})(images[:0], None, [])
    assert len(scores.scores["adaneg"]) == len(columns[OFFERS]) == len(columns[VERSION]) == 0
    assert len(MemoryClient(actors.spec, actors).view("adaneg")) == 0
