"""What each criterion keeps, by a worker in this process: no Ray, blocks of any size, answers in any order."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ood_core.criteria import CRITERIA, ConjugatedPool, Criterion, Density, Intermodal, NegMining, WholeCorpus
from ood_core.vocabulary import superclass_phrase
from pipelines.config.labels import LabelsBuild
from pipelines.errors import CallerError
from pipelines.label_banks.corpus import Corpus, Sources, survey
from pipelines.label_banks.criteria import ClassImages, Selection, class_images, encoded, kept_labels, select
from pipelines.label_banks.id_images import find_id_images
from pipelines.label_banks.unlabelled_images import unlabelled_class_images
from pipelines.label_banks.worker import LabelWorker
from pipelines.label_banks.worker_pool import LabelWorkerPool
from pipelines.runtime.model import FACTS, ModelFacts, ModelSpec
from pipelines.runtime.progress import counting
from tests.conftest import encoded as encoded_picture
from tests.conftest import picture

IDS = ["cat", "dog", "horse"]
STEMS = ["oak", "hammer", "bridge", "flag", "stone", "piano", "river", "goat", "button", "sail", "drum", "cart", "bell"]
NOUNS = [text for stem in STEMS for text in (stem, stem.upper(), f"old {stem}", stem.title())]
"""The model knows no case: many candidates have the very same embedding."""
ADJECTIVES = ["red", "RED", "round", "soft", "Red", "Round", "loud", "late", "dark", "Dark"]


class OneWorker(LabelWorkerPool):
    """A worker in this process, whose answers come late and in disorder."""

    def spread(self, method: str, calls: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        generator, waiting = random.Random(0), []
        for arguments in calls:
            waiting.append(getattr(self.actors[0], method)(*arguments))
            if len(waiting) > 5:
                yield waiting.pop(generator.randrange(len(waiting)))
        yield from waiting

    def share(self, value: Any) -> Any:
        return value

    def ask(self, method: str, *arguments: Any) -> Any:
        return getattr(self.actors[0], method)(*arguments)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    place = tmp_path_factory.mktemp("corpus")
    (place / "nouns.txt").write_text("\n".join([*NOUNS, "cat"]))
    (place / "adjectives.txt").write_text("\n".join(ADJECTIVES))
    return survey(Sources([str(place / "nouns.txt"), f"adjective:{place / 'adjectives.txt'}"], ()))


@pytest.fixture(scope="module")
def workers_of():
    loaded: dict[str, OneWorker] = {}

    def make(name: str) -> OneWorker:
        if name not in loaded:
            prompts = CRITERIA[name].prompts
            templates = {"id": prompts.id, "noun": prompts.noun, "adjective": prompts.adjective}
            worker = LabelWorker(ModelSpec("bundled"), templates, IDS)
            facts = FACTS.validate_json(worker.facts())
            assert isinstance(facts, ModelFacts)
            loaded[name] = OneWorker([worker], facts)
        return loaded[name]

    return make


def kept(selection: Selection) -> list[tuple[str, str]]:
    return [(part, text) for part, rows in selection.kept.items() for text in rows["text"].to_pylist()]


def in_memory(criterion: Criterion, corpus: Corpus, workers: OneWorker, images: np.ndarray | None) -> Any:
    """Every candidate of each part with its score in one array, sorted: texts, scores, survivors."""
    worker, found = workers.actors[0], {}
    for part, _, texts in replace(corpus, words_at_once=10**6).blocks():
        encoder, templates = worker.encoder, worker.templates[part]
        unit = encoder.encode_ensembles(templates, texts).numpy().astype(np.float64)
        survives = np.ones(len(texts), bool)
        if isinstance(criterion, Density):
            raw = encoder.encode_ensembles(templates, texts, normalize=False).numpy().astype(np.float64)
            lengths = np.linalg.norm(raw, axis=1)
            distances = np.sort(lengths[:, None] + lengths - 2 * unit @ unit.T, axis=1)
            scores = np.log(distances[:, : criterion.neighbours + 1]).mean(axis=1)
        elif isinstance(criterion, Intermodal):
            assert images is not None
            above = unit @ images.T - (worker.ids() * images).sum(axis=1)
            # A label itself has no margin, and is no survivor by whatever a sum in another order leaves of it.
            scores, survives = above.mean(axis=1), (above < -1e-6).all(axis=1)
        else:
            cosines = unit @ worker.ids().T
            scores = np.quantile(cosines, 0.95 if isinstance(criterion, NegMining) else 1.0, axis=1)
            if isinstance(criterion, ConjugatedPool):
                scores = np.where(scores > 0.95, 1.0, scores)
        scores = np.round(scores, 6)  # so that equal texts tie, whatever the sums' order
        found[part] = (np.array(texts), scores, survives)
    return found


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
@pytest.mark.parametrize(
    "criterion",
    [
        NegMining(fraction=0.4),
        ConjugatedPool(fraction=0.5, adjective_fraction=0.9),
        Density(neighbours=6, fraction=0.3),
        Density(neighbours=500, fraction=1.0, adjective_fraction=1.0),
    ],
    ids=lambda criterion: type(criterion).__name__,
)
def test_streaming_keeps_what_a_sort_in_memory_keeps(corpus, workers_of, criterion: Criterion, size: int) -> None:
    name = next(name for name, kind in CRITERIA.items() if kind is type(criterion))
    workers, expected = workers_of(name), []
    for part, (texts, scores, _) in in_memory(criterion, corpus, workers, None).items():
        fraction = criterion.adjective_fraction if part == "adjective" else None  # pyright: ignore
        count = int(len(texts) * (fraction or criterion.fraction))  # pyright: ignore
        expected += [(part, text) for text in texts[np.argsort(scores, kind="stable")[:count]]]
    assert kept(select(criterion, replace(corpus, words_at_once=size), workers)) == expected


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_without_a_criterion_the_whole_corpus_stays_in_its_order_and_no_worker_ranks_it(
    corpus: Corpus, workers_of, size: int
) -> None:
    nobody = OneWorker([], workers_of("none").facts)
    selection = select(WholeCorpus(), replace(corpus, words_at_once=size), nobody)
    expected = [*(("noun", text) for text in (*NOUNS, "cat")), *(("adjective", text) for text in ADJECTIVES)]
    assert kept(selection) == expected  # an ID label is kept too, as by NegLabel's criterion
    assert selection.survivors == {}


def test_each_text_of_a_whole_corpus_is_encoded_once(corpus: Corpus, workers_of) -> None:
    workers, said, asked = workers_of("none"), [], []

    class Recording(OneWorker):
        def spread(self, method: str, calls: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
            given = list(calls)
            asked.extend((method, text) for (block,) in given for text in block.texts)
            yield from super().spread(method, given)

    recording = Recording(workers.actors, workers.facts)
    labels = kept_labels(select(WholeCorpus(), corpus, recording))
    found = encoded(labels, recording, said.append)
    assert asked == [("embeddings", text) for text in labels.texts]
    assert np.isnan(labels.scores).all()
    encoder = workers.actors[0].encoder
    np.testing.assert_array_equal(found[0], encoder.encode_texts(["The nice oak."]).numpy()[0])
    np.testing.assert_array_equal(found[-1], encoder.encode_texts(["This is a Dark photo."]).numpy()[0])
    assert said[-1].startswith("63 of 63 kept candidates encoded, ")


def image_embeddings(workers: OneWorker) -> np.ndarray:
    """Near the labels, so that some candidates survive and some do not."""
    mixed = workers.actors[0].ids() + 2 * workers.actors[0].encoder.encode_texts(["hammer", "bell", "red"]).numpy()
    return (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize("negatives", [1, 10, 10_000])
def test_survivors_share_the_places_by_part(corpus, workers_of, negatives: int, size: int) -> None:
    workers, criterion = workers_of("interneg"), Intermodal(negatives=negatives)
    images = image_embeddings(workers)
    by_part = in_memory(criterion, corpus, workers, images)
    survivors = {part: int(survives.sum()) for part, (_, _, survives) in by_part.items()}
    total = sum(survivors.values())
    assert 10 < total < sum(corpus.counts.values())
    adjectives = min(negatives, total) * survivors["adjective"] // total
    counts = {"noun": min(negatives, total) - adjectives, "adjective": adjectives}
    expected = []
    for part, (texts, scores, survives) in by_part.items():
        rows = np.flatnonzero(survives)
        expected += [(part, text) for text in texts[rows[np.argsort(scores[rows], kind="stable")]][: counts[part]]]
    selection = select(criterion, replace(corpus, words_at_once=size), workers, ClassImages(images, {}))
    assert kept(selection) == expected
    assert selection.survivors == survivors


def test_where_nothing_survives_the_images_are_asked_after(corpus, workers_of) -> None:
    workers = workers_of("interneg")
    images = ClassImages(-workers.actors[0].ids(), {})
    with pytest.raises(CallerError, match="none of 63 candidates .* do --id-images show what their labels say"):
        select(Intermodal(), corpus, workers, images)


def test_a_label_whose_images_are_all_broken_is_named(workers_of, tmp_path: Path) -> None:
    for label in IDS:
        (tmp_path / f"{label}.png").write_bytes(b"no picture" if label == "cat" else encoded_picture(picture(0)))
    (tmp_path / "list.csv").write_text("path,label\ncat.png,cat\ndog.png,dog\nhorse.png,horse\n")
    asked = LabelsBuild(id_labels="", output="", criterion="interneg", id_images=(str(tmp_path / "list.csv"),))
    with pytest.raises(CallerError, match=r"no image of the ID label 'cat' can be read \(1 such labels\)"):
        class_images(asked, find_id_images(asked, IDS, 16, {}), IDS, workers_of("interneg"), {})


def test_unlabelled_images_that_are_surely_of_no_label_say_so(corpus, workers_of, tmp_path: Path) -> None:
    workers, far = workers_of("interneg"), str(tmp_path / "far.parquet")
    away = -workers.ask("ids").sum(axis=0)
    pq.write_table(pa.table({"key": ["a"], "embedding": [(away / np.linalg.norm(away)).tolist()]}), far)
    asked = LabelsBuild(id_labels="", output="", criterion="interneg", unlabelled_images=(far,))
    with pytest.raises(CallerError, match="no image is surely of any ID label"):
        unlabelled_class_images(asked, IDS, corpus, workers, {})


def test_csps_phrases_are_what_is_ranked_and_kept(tmp_path: Path, workers_of) -> None:
    (tmp_path / "adjectives.txt").write_text("\n".join(ADJECTIVES))
    phrases = survey(Sources([f"adjective:{tmp_path / 'adjectives.txt'}"], ()), IDS, superclass_phrase)
    found = kept(select(ConjugatedPool(fraction=1.0), phrases, workers_of("csp")))
    assert sorted(text for _, text in found) == sorted(map(superclass_phrase, ADJECTIVES))


def test_a_long_ranking_says_how_far_it_is() -> None:
    said: list[str] = []
    more = counting(said.append, 30, "candidates", wait_s=0)
    more(10)
    more(15)
    assert [line.split(",")[0] for line in said] == ["10 of 30 candidates", "25 of 30 candidates"]
    said.clear()
    patient = counting(said.append, 30, "candidates", wait_s=60)
    for _ in range(3):
        patient(10)
    assert [line.split(",")[0] for line in said] == ["10 of 30 candidates", "30 of 30 candidates"]
