import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ood_core.consensus import Votes
from ood_core.consensus.voting import Voting, largest
from ood_core.methods import Consensus

IMAGES = 300  # three blocks, the last one not full
every_number = pytest.mark.parametrize("anchors", [1, 3, 5, 7, 16, 24, 100])


def vote(unit, anchors: int, embeddings: torch.Tensor, **parameters) -> Votes:
    voting = Voting(unit(anchors, 48, seed=1), Consensus(**parameters))
    return voting(embeddings, np.arange(float(len(embeddings))))


@pytest.fixture
def images(unit):
    return torch.from_numpy(unit(IMAGES, 48, seed=2))


@pytest.mark.parametrize(("nearest", "sharpness"), [(1, 20.0), (5, 20.0), (5, 0.0), (5, 1000.0), (9, 3.0)])
def test_an_image_votes_on_its_nearest_anchors_by_softmax(unit, images, nearest, sharpness):
    found = vote(unit, 40, images, nearest=nearest, sharpness=sharpness)
    cosines = images.numpy().astype(np.float64) @ unit(40, 48, seed=1).astype(np.float64).T
    expected = np.argsort(-cosines, axis=1)[:, :nearest]
    closest = np.take_along_axis(cosines, expected, axis=1)
    weights = np.exp(sharpness * (closest - closest[:, :1]))
    np.testing.assert_array_equal(found.anchors, expected)
    np.testing.assert_allclose(found.weights, weights / weights.sum(axis=1, keepdims=True), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found.cosines, closest[:, 0], rtol=0, atol=1e-6)
    assert found.log_odds.tolist() == list(range(IMAGES))


@every_number
def test_weights_sum_to_1_and_fall(unit, images, anchors):
    found = vote(unit, anchors, images)
    assert found.anchors.shape == found.weights.shape == (IMAGES, min(5, anchors))
    np.testing.assert_allclose(found.weights.sum(axis=1, dtype=np.float64), 1, rtol=0, atol=1e-6)
    assert (np.diff(found.weights, axis=1) <= 0).all()
    assert ((found.anchors >= 0) & (found.anchors < anchors)).all()


@every_number
@pytest.mark.parametrize(("start", "end"), [(0, 1), (0, 127), (1, 130), (77, 78), (127, 300), (299, 300)])
def test_votes_are_the_same_to_the_last_bit_beside_any_images(unit, images, anchors, start, end):
    alone, together = vote(unit, anchors, images[start:end]), vote(unit, anchors, images)
    np.testing.assert_array_equal(alone.anchors, together.anchors[start:end])
    np.testing.assert_array_equal(alone.weights, together.weights[start:end])
    np.testing.assert_array_equal(alone.cosines, together.cosines[start:end])


def test_votes_are_the_same_to_the_last_bit_in_any_order(unit, images):
    order = np.random.default_rng(0).permutation(IMAGES)
    turned, straight = vote(unit, 24, images[torch.from_numpy(order)]), vote(unit, 24, images)
    np.testing.assert_array_equal(turned.anchors, straight.anchors[order])
    np.testing.assert_array_equal(turned.weights, straight.weights[order])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_embeddings_may_be_of_any_float_type(unit, images, dtype):
    narrowed = images.to(dtype)
    found, expected = vote(unit, 24, narrowed), vote(unit, 24, narrowed.float())
    np.testing.assert_array_equal(found.anchors, expected.anchors)
    np.testing.assert_array_equal(found.weights, expected.weights)


def test_an_image_that_is_an_anchor_votes_on_it_first(unit):
    found = vote(unit, 24, torch.from_numpy(unit(24, 48, seed=1)))
    assert found.anchors[:, 0].tolist() == list(range(24))
    np.testing.assert_allclose(found.cosines, 1, rtol=0, atol=1e-6)


def test_no_images_have_no_votes(unit, images):
    found = vote(unit, 24, images[:0])
    assert len(found) == 0
    assert found.anchors.shape == found.weights.shape == (0, 5)


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 40))
def test_of_equal_cosines_the_first_place_comes_first(seed, count, columns):
    values = torch.from_numpy(np.random.default_rng(seed).integers(0, 5, (20, columns)).astype(np.float32))
    count = min(count, columns)
    found, places = largest(values, count)
    order = np.argsort(-values.numpy(), axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(places, order)
    np.testing.assert_array_equal(found, np.take_along_axis(values.numpy(), order, axis=1))


@pytest.mark.parametrize("label_count", [1, 3, 40])
def test_images_vote_on_the_nearest_labels(unit, label_count):
    labels, images = unit(label_count, 48, seed=1), unit(300, 48, seed=2)
    votes = Voting(unit(20, 48, seed=3), Consensus(), labels=labels)(torch.from_numpy(images), np.zeros(300))
    cosines = images.astype(np.float64) @ labels.T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :5]
    exponentials = np.exp(20 * np.take_along_axis(cosines, order, axis=1))
    np.testing.assert_array_equal(votes.label_votes.labels, order)
    np.testing.assert_array_equal(votes.label_votes.nearest, order[:, 0])
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(votes.label_votes.weights, expected, rtol=0, atol=1e-6)
    without = Voting(unit(20, 48, seed=3), Consensus())(torch.from_numpy(images), np.zeros(300))
    assert without.on_labels is None
    np.testing.assert_array_equal(without.weights, votes.weights)
