import numpy as np
import pytest

from ood_core.consensus import Sample, anchors
from ood_core.consensus.many_anchors import fitted, iterations
from tests.ood_core.conftest import unit_rows

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES, DIM, COUNT = 1500, 32, 400
EMBEDDINGS = unit_rows(80, DIM, seed=1)[np.arange(IMAGES) * 7 % 80] + 0.6 * unit_rows(IMAGES, DIM, seed=2)
EMBEDDINGS = (EMBEDDINGS / np.linalg.norm(EMBEDDINGS, axis=1, keepdims=True)).astype(np.float32)
KEYS = [str(number) for number in range(IMAGES)]


@pytest.fixture
def all_are_many(monkeypatch):
    monkeypatch.setattr(anchors, "MANY_ANCHORS", 16)


def fit(embeddings: np.ndarray, count: int) -> np.ndarray:
    return Sample.together([Sample.of(KEYS[: len(embeddings)], embeddings, len(embeddings))]).anchors(count)


def closeness(found: np.ndarray, images: np.ndarray) -> float:
    """The mean cosine of images to their nearest anchor."""
    return float((images @ found.T).max(axis=1).mean())


@pytest.mark.parametrize(("images", "count", "expected"), [(10, 10, 1), (30, 10, 1), (40, 10, 2), (150, 10, 7)])
def test_so_many_iterations_are_done(images, count, expected):
    assert iterations(images, count) == expected


def test_many_anchors_are_as_near_to_images_as_those_of_exact_k_means(monkeypatch):
    exact = fit(EMBEDDINGS[:800], COUNT)
    monkeypatch.setattr(anchors, "MANY_ANCHORS", 16)
    found = fit(EMBEDDINGS[:800], COUNT)
    for images in (EMBEDDINGS[:800], EMBEDDINGS[800:]):
        assert closeness(found, images) > closeness(exact, images) - 0.003
        assert closeness(found, images) > closeness(EMBEDDINGS[:COUNT], EMBEDDINGS[800:]) + 0.005


def test_many_anchors_are_unit_vectors_no_two_the_same(all_are_many):
    found = fit(EMBEDDINGS, COUNT)
    assert found.dtype == np.float32
    assert 0.98 * COUNT < len(found) <= COUNT
    assert len(np.unique(found, axis=0)) == len(found)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=0, atol=1e-6)


def test_images_that_are_the_same_have_one_anchor(all_are_many):
    found = fit(np.repeat(EMBEDDINGS[:3], 20, axis=0), 30)
    np.testing.assert_allclose(np.sort((EMBEDDINGS[:3] @ found.T).max(axis=1)), 1, rtol=0, atol=1e-6)
    assert len(found) == 3


def test_many_anchors_are_the_same_whatever_the_number_of_threads(one_thread):
    one_thread(1)
    one = fitted(EMBEDDINGS[:300], 70)
    one_thread(2)
    np.testing.assert_array_equal(fitted(EMBEDDINGS[:300], 70), one)


def test_many_anchors_are_the_same_in_any_order_of_the_images(all_are_many):
    order = np.random.default_rng(0).permutation(IMAGES)
    parts = [([KEYS[place] for place in places], EMBEDDINGS[places]) for places in (order[:700], order[700:])]
    found = Sample.together([Sample.of(*part, IMAGES) for part in parts]).anchors(COUNT)
    np.testing.assert_array_equal(found, fit(EMBEDDINGS, COUNT))
