import numpy as np
import pytest
import torch

from ood_core.labels import LabelBank
from ood_core.memory import Candidates
from ood_core.methods import AdaNeg
from ood_core.scores import ImageScorer, score_dataset
from ood_core.scores.adaneg import entropies

TEMPERATURE = 0.1


def clustered(bank: LabelBank, images: int, seed: int) -> np.ndarray:
    """Unit vectors around the labels, so that some are surely ID, some surely not."""
    rng = np.random.default_rng(seed)
    drawn = bank.embeddings[rng.integers(0, len(bank.texts), images)] + rng.normal(scale=0.12, size=(images, bank.dim))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def bank(bank_of, unit):
    return bank_of(unit(6, 32, seed=1), unit(20, 32, seed=2), permutation="none", temperature=TEMPERATURE)


def grouped(cosines, ids, groups):
    masses = np.exp(cosines / TEMPERATURE)
    groups = min(groups, cosines.shape[1] - ids)
    kept = (cosines.shape[1] - ids) // groups * groups
    of_id, of_groups = masses[:, :ids].sum(1), masses[:, ids : ids + kept].reshape(len(cosines), groups, -1).sum(2)
    return (of_id[:, None] / (of_id[:, None] + of_groups)).mean(1)


def thresholds(parameters, scores):
    """METHODS.md §7: γ + g(1 - γ) and γ - gγ, and AdaGap's over the whole input."""
    gamma, gap = parameters.threshold, parameters.gap
    high, low = gamma + gap * (1 - gamma), gamma - gap * gamma
    positive, negative = (scores > high).sum(), (scores < low).sum()
    if parameters.adaptive_gap and positive + negative:
        share = positive / (positive + negative)
        if share > 0.5:
            low = gamma - share * gamma
        elif share < 0.5:
            high = gamma + (1 - share) * (1 - gamma)
    return high, low


def naive_transductive(bank, images, keys, parameters):
    """METHODS.md §7 with the memory of all images, every proxy made."""
    labels, images, ids = bank.embeddings.astype(np.float64), images.astype(np.float64), bank.id_count
    cosines = images @ labels.T
    static = grouped(cosines, ids, parameters.groups)
    high, low = thresholds(parameters, static)
    rows: list[list] = [[] for _ in labels]
    for image, key, score, of_labels in zip(images, keys, static, cosines, strict=True):
        start, end = (0, ids) if score > high else (ids, len(labels))
        if low <= score <= high:
            continue
        terms = np.exp(of_labels[start:end] / TEMPERATURE)
        p = terms / terms.sum()
        rows[start + of_labels[start:end].argmax()].append((-(p * np.log(p + 1e-8)).sum(), key, image))
    adapted = np.empty_like(cosines)
    for label, row in enumerate(rows):
        kept = [image for *_, image in sorted(row, key=lambda entry: entry[:2])[: parameters.memory_length - 1]]
        features = np.stack([labels[label], *kept])
        for number, image in enumerate(images):
            weights = np.exp(-parameters.beta * (1 - features @ image)) if parameters.proxies == "sample" else 1.0
            proxy = (features * np.reshape(weights, (-1, 1))).sum(0)
            adapted[number, label] = image @ proxy / np.linalg.norm(proxy)
    weight = 1.0 if parameters.adaptive_gap else 0.1
    return grouped(adapted, ids, parameters.groups) + weight * static


def keys_of(images):
    return [f"image {number}" for number in range(len(images))]


def score(bank, images, keys, parameters):
    return score_dataset(bank, {"adaneg": parameters}, torch.from_numpy(images), keys).scores["adaneg"]


@pytest.mark.parametrize("adaptive_gap", [False, True])
@pytest.mark.parametrize("proxies", ["task", "sample"])
@pytest.mark.parametrize("memory_length", [1, 2, 4, 10])
def test_transductive_is_the_formula_over_the_memory_of_all_images(bank, proxies, memory_length, adaptive_gap):
    images, parameters = (
        clustered(bank, 150, seed=3),
        AdaNeg(proxies=proxies, memory_length=memory_length, adaptive_gap=adaptive_gap),
    )
    found = score(bank, images, keys_of(images), parameters)
    np.testing.assert_allclose(found, naive_transductive(bank, images, keys_of(images), parameters), atol=1e-5)


@pytest.mark.parametrize(
    ("id_labels", "negatives", "dim"), [(1, 1, 2), (1, 30, 8), (8, 1, 8), (5, 3, 8), (4, 40, 1024)]
)
def test_extreme_banks_follow_the_formula_too(bank_of, unit, id_labels, negatives, dim):
    bank = bank_of(
        unit(id_labels, dim, seed=1), unit(negatives, dim, seed=2), permutation="none", temperature=TEMPERATURE
    )
    images = clustered(bank, 70, seed=4)
    for proxies in ("task", "sample"):
        expected = naive_transductive(bank, images, keys_of(images), AdaNeg(proxies=proxies))
        found = score(bank, images, keys_of(images), AdaNeg(proxies=proxies))
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("of", ["id", "negative"])
def test_input_of_one_kind_only_is_scored_all_the_same(bank, of):
    labels = bank.embeddings[: bank.id_count] if of == "id" else bank.embeddings[bank.id_count :]
    images = np.repeat(labels, 5, axis=0)
    found = score(bank, images, keys_of(images), AdaNeg(adaptive_gap=True))
    np.testing.assert_allclose(
        found, naive_transductive(bank, images, keys_of(images), AdaNeg(adaptive_gap=True)), atol=1e-5
    )


@pytest.mark.parametrize("proxies", ["task", "sample"])
def test_transductive_scores_are_the_same_to_the_last_bit_in_any_order(bank, proxies):
    images = clustered(bank, 300, seed=5)
    order = np.random.default_rng(0).permutation(300)
    keys = keys_of(images)
    turned = score(bank, images[order], [keys[number] for number in order], AdaNeg(proxies=proxies))
    np.testing.assert_array_equal(turned, score(bank, images, keys, AdaNeg(proxies=proxies))[order])


def test_sequential_with_one_batch_is_transductive(bank):
    images = clustered(bank, 100, seed=6)
    in_order = score(bank, images, keys_of(images), AdaNeg(order="sequential", batch_size=100))
    np.testing.assert_array_equal(in_order, score(bank, images, keys_of(images), AdaNeg()))


def test_sequential_does_not_know_what_is_to_come(bank):
    images = clustered(bank, 100, seed=7)
    parameters = AdaNeg(order="sequential", batch_size=20)
    whole = score(bank, images, keys_of(images), parameters)
    np.testing.assert_array_equal(score(bank, images[:40], keys_of(images)[:40], parameters), whole[:40])
    assert (whole != score(bank, images, keys_of(images), AdaNeg())).any()


def test_without_a_memory_every_proxy_is_its_text(bank):
    images = torch.from_numpy(clustered(bank, 30, seed=8))
    methods = {"adaneg": AdaNeg(static_weight=0.25)}
    found = ImageScorer(bank, methods)(images).scores["adaneg"]
    static = grouped(images.double().numpy() @ bank.embeddings.T.astype(float), bank.id_count, 5)
    np.testing.assert_allclose(found, 1.25 * static, atol=1e-5)


def test_an_image_remembered_by_its_label_scores_higher(bank):
    image = clustered(bank, 1, seed=9)
    memory = Candidates(
        np.array([int((image @ bank.embeddings[: bank.id_count].T).argmax())]), np.zeros(1), ["a"], image
    )
    without, with_it = (
        ImageScorer(bank, {"adaneg": AdaNeg()}, learned={"adaneg": learned})(torch.from_numpy(image)).scores["adaneg"]
        for learned in (Candidates.none(bank.dim), memory)
    )
    assert with_it > without


def test_entropy_is_that_of_the_softmax():
    assert entropies(torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0]])).tolist() == [
        pytest.approx(np.log(4), abs=1e-6),
        pytest.approx(0.0, abs=1e-6),
    ]


def test_the_static_weight_is_as_published_unless_given():
    assert AdaNeg().weight_of_static == 0.1
    assert AdaNeg(adaptive_gap=True).weight_of_static == 1.0
    assert AdaNeg(adaptive_gap=True, static_weight=0.0).weight_of_static == 0.0
