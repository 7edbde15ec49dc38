"""The label worker as a plain object, without Ray."""

from pathlib import Path

import numpy as np
import pytest

from ood_core.criteria import ConjugatedPool, Criterion, Density, Intermodal, NegMining, WholeCorpus
from ood_core.vocabulary import CSP, NEGLABEL
from pipelines.config.scan import Read
from pipelines.inputs.image_plan import plan_images
from pipelines.label_banks.corpus import Block
from pipelines.label_banks.id_images import LabelledSlice
from pipelines.label_banks.worker import LabelWorker
from pipelines.runtime.model import FACTS, ModelSpec, describe

BUNDLED = ModelSpec("bundled")
NOUNS = Block("noun", 5, ["cat", "hammer", "dog", "bridge"])


@pytest.fixture(scope="module")
def worker() -> LabelWorker:
    templates = {"id": NEGLABEL.id, "noun": NEGLABEL.noun, "adjective": NEGLABEL.adjective}
    return LabelWorker(BUNDLED, templates, ["horse", "goat"])


def test_words_are_encoded_under_the_prompts_of_their_part_and_ranked(worker: LabelWorker) -> None:
    expected = worker.encoder.encode_texts([f"the nice {text}" for text in NOUNS.texts]).numpy()
    ids = worker.encoder.encode_texts(["the nice horse", "the nice goat"]).numpy()
    part, candidates, survivors, rows = worker.rank(NOUNS, NegMining(quantile=1.0), np.inf)
    assert (part, candidates, survivors) == ("noun", 4, 4)
    assert rows["index"].to_pylist() == [5, 6, 7, 8]
    assert rows["text"].to_pylist() == NOUNS.texts
    np.testing.assert_allclose(rows["selection_score"], (expected @ ids.T).max(axis=1), atol=1e-6)
    np.testing.assert_array_equal(worker.embeddings(NOUNS)[1], expected)
    adjective = worker.embeddings(Block("adjective", 0, ["red"]))[1]
    np.testing.assert_array_equal(adjective, worker.encoder.encode_texts(["This is a red photo"]).numpy())
    np.testing.assert_array_equal(worker.ids(), ids)


def test_what_can_no_longer_be_kept_is_dropped_where_it_is_ranked(worker: LabelWorker) -> None:
    scores = worker.rank(NOUNS, NegMining(), np.inf).rows["selection_score"].to_numpy()
    second = np.sort(scores)[1]
    kept = worker.rank(NOUNS, NegMining(), float(second)).rows
    assert kept["index"].to_pylist() == (5 + np.flatnonzero(scores <= second)).tolist()
    assert len(kept) == 2


def test_an_ensembles_mean_is_ranked(worker: LabelWorker) -> None:
    ensemble = LabelWorker(BUNDLED, {"id": CSP.id, "noun": CSP.noun, "adjective": CSP.adjective}, ["horse"])
    rows = ensemble.rank(Block("noun", 0, ["horse", "flag"]), ConjugatedPool(), np.inf).rows
    assert rows["selection_score"][0].as_py() == 1.0
    flag, horse = ensemble.encoder.encode_ensembles(CSP.noun, ["flag", "horse"]).numpy()
    assert rows["selection_score"][1].as_py() == pytest.approx(flag @ horse, abs=1e-6)


def test_survivors_are_counted_and_the_others_dropped(worker: LabelWorker) -> None:
    images = worker.encoder.encode_texts(["a hammer", "a bridge"]).numpy()
    survivors, rows = worker.rank(NOUNS, Intermodal(), np.inf, images)[2:]
    own = (worker.ids() * images).sum(axis=1)
    survives = ((worker.embeddings(NOUNS)[1] @ images.T) < own).all(axis=1)
    assert survivors == survives.sum() < 4
    assert rows["index"].to_pylist() == (5 + np.flatnonzero(survives)).tolist()


def test_density_looks_at_all_features_and_not_at_a_block(worker: LabelWorker) -> None:
    block, features = worker.features(NOUNS)
    assert block == NOUNS
    assert isinstance(features, np.ndarray)
    assert np.linalg.norm(features, axis=1).min() > 2
    features.flags.writeable = False  # as Ray shares it
    start, scores = worker.densities(features, 1, 3, 2)
    assert start == 1
    np.testing.assert_array_equal(scores, worker.densities(features, 0, 4, 2)[1][1:3])


@pytest.mark.parametrize("criterion", [Density(), WholeCorpus()])
def test_what_looks_at_no_candidate_by_itself_is_not_ranked_by_block(worker: LabelWorker, criterion: Criterion) -> None:
    with pytest.raises(TypeError, match=f"{type(criterion).__name__} does not rank one candidate at a time"):
        worker.rank(NOUNS, criterion, np.inf)


def test_the_chosen_pictures_of_a_shard_are_encoded(worker: LabelWorker, dataset: Path) -> None:
    shard = plan_images([str(dataset / "folder")], Read(), {}).shards[0]
    chosen = LabelledSlice(shard, {0: 1, 3: 0, 9: 0})  # the fourth is empty
    found, embeddings, indices = worker.images(chosen, Read(), {})
    assert found == chosen
    assert indices == [0, 9]
    assert embeddings.shape == (2, 128)
    np.testing.assert_array_equal(worker.images(LabelledSlice(shard, {9: 0}), Read(), {})[1][0], embeddings[1])
    assert worker.images(LabelledSlice(shard, {3: 0}), Read(), {})[1].shape == (0, 128)


def test_a_worker_says_what_its_model_is(worker: LabelWorker) -> None:
    assert FACTS.validate_json(worker.facts()) == describe(BUNDLED)


def test_a_model_that_cannot_be_loaded_is_told_and_not_raised() -> None:
    worker = LabelWorker(ModelSpec("local-dir:/nowhere"), {"id": ("{}",)}, ["horse"])
    assert str(FACTS.validate_json(worker.facts())).startswith("Directory specified via 'local-dir:'")
