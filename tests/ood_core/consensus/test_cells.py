import numpy as np
import pytest
import torch

from ood_core.consensus import Votes, cells
from ood_core.consensus.cells import MOST_CELLS, AnchorCells, CellSearch
from ood_core.consensus.voting import ALL_COMPARED, Voting, searchable
from ood_core.methods import Consensus
from tests.ood_core.conftest import unit_rows

pytestmark = pytest.mark.usefixtures("one_thread")

ANCHORS, DIM, IMAGES = 9000, 64, 500
KINDS = 300


def of_kinds(count: int, seed: int) -> np.ndarray:
    """Unit vectors around `KINDS` directions that have something in common, as a model's embeddings have."""
    rng = np.random.default_rng(seed)
    common, kinds = unit_rows(1, DIM, seed=1), unit_rows(KINDS, DIM, seed=2)
    found = common + 1.2 * kinds[rng.integers(0, KINDS, count)] + 0.8 * unit_rows(count, DIM, seed=seed)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def anchors() -> np.ndarray:
    return of_kinds(ANCHORS, seed=3)


@pytest.fixture(scope="module")
def voting(anchors) -> Voting:
    return Voting(AnchorCells.of(anchors), Consensus())


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.from_numpy(of_kinds(IMAGES, seed=4))


def vote(voting: Voting, images: torch.Tensor) -> Votes:
    return voting(images, np.arange(float(len(images))))


def exact(anchors: np.ndarray, images: torch.Tensor, count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """The nearest anchors and their cosines, in float64."""
    cosines = images.numpy().astype(np.float64) @ anchors.astype(np.float64).T
    nearest = np.argsort(-cosines, axis=1)[:, :count]
    return nearest, np.take_along_axis(cosines, nearest, axis=1)


def recall(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.mean([np.isin(row, other).mean() for row, other in zip(expected, found, strict=True)]))


def assert_same(one: Votes, other: Votes) -> None:
    np.testing.assert_array_equal(one.anchors, other.anchors)
    np.testing.assert_array_equal(one.weights, other.weights)
    np.testing.assert_array_equal(one.cosines, other.cosines)


def part(votes: Votes, places: np.ndarray | slice) -> Votes:
    return Votes(votes.log_odds[places], votes.anchors[places], votes.weights[places], votes.cosines[places])


def test_many_anchors_are_in_cells_and_few_are_all_compared():
    many = of_kinds(ALL_COMPARED + 1, seed=5)
    assert isinstance(searchable(many, Consensus()), AnchorCells)
    assert isinstance(searchable(many[1:], Consensus()), np.ndarray)
    assert isinstance(searchable(many, Consensus(nearest=MOST_CELLS + 1)), np.ndarray)


def test_every_anchor_is_in_one_cell_and_no_cell_is_empty(anchors):
    found = AnchorCells.of(anchors)
    assert sorted(found.order.tolist()) == list(range(ANCHORS))
    assert found.sizes.min() > 0
    assert found.sizes.sum() == ANCHORS
    assert len(found.centres) == len(found.sizes)


@pytest.mark.parametrize("candidates", [1500, 3000])
def test_nearly_all_of_the_nearest_anchors_are_found_among_some_of_all(anchors, images, monkeypatch, candidates):
    monkeypatch.setattr(cells, "CANDIDATES", candidates)
    found = vote(Voting(AnchorCells.of(anchors), Consensus()), images)
    expected, _ = exact(anchors, images)
    assert recall(found.anchors, expected) >= 0.98


def test_where_the_nearest_are_found_cosines_and_weights_are_theirs(anchors, voting, images):
    found = vote(voting, images)
    expected, cosines = exact(anchors, images)
    whole = (found.anchors == expected).all(axis=1)
    weights = np.exp(20 * (cosines - cosines[:, :1]))
    weights /= weights.sum(axis=1, keepdims=True)
    assert whole.mean() > 0.97
    np.testing.assert_allclose(found.cosines[whole], cosines[whole, 0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.weights[whole], weights[whole], rtol=1e-3, atol=1e-6)


def test_with_candidates_enough_all_of_the_nearest_are_found(anchors, images, monkeypatch):
    monkeypatch.setattr(cells, "CANDIDATES", ANCHORS)
    monkeypatch.setattr(cells, "MOST_CELLS", ANCHORS)
    monkeypatch.setattr(cells, "MARGIN", 2.0)
    np.testing.assert_array_equal(
        vote(Voting(AnchorCells.of(anchors), Consensus()), images).anchors, exact(anchors, images)[0]
    )


@pytest.mark.parametrize(("start", "end"), [(0, 1), (0, 127), (1, 130), (77, 78), (127, 500), (499, 500)])
def test_votes_are_the_same_to_the_last_bit_beside_any_images(voting, images, start, end):
    assert_same(vote(voting, images[start:end]), part(vote(voting, images), slice(start, end)))


def test_votes_are_the_same_to_the_last_bit_for_each_image_alone(voting, images):
    together = vote(voting, images)
    for place in range(0, IMAGES, 25):
        assert_same(vote(voting, images[place : place + 1]), part(together, slice(place, place + 1)))


def test_votes_are_the_same_to_the_last_bit_in_any_order(voting, images):
    order = np.random.default_rng(0).permutation(IMAGES)
    assert_same(vote(voting, images[torch.from_numpy(order)]), part(vote(voting, images), order))


def test_votes_are_the_same_however_many_look_at_once(voting, images, monkeypatch):
    together = vote(voting, images)
    monkeypatch.setattr(cells, "ROWS", 70)
    assert_same(vote(voting, images), together)


def test_votes_and_cells_are_the_same_whatever_the_number_of_threads(anchors, images, one_thread):
    one_thread(1)
    one = vote(Voting(AnchorCells.of(anchors), Consensus()), images[:130])
    one_thread(2)
    assert_same(vote(Voting(AnchorCells.of(anchors), Consensus()), images[:130]), one)


def test_cells_made_beforehand_change_nothing(images):
    many = of_kinds(ALL_COMPARED + 1, seed=5)
    made = searchable(many, Consensus())
    assert_same(vote(Voting(made, Consensus()), images), vote(Voting(many, Consensus()), images))


@pytest.mark.parametrize("nearest", [1, 9, MOST_CELLS])
def test_as_many_different_anchors_are_found_as_were_asked_for(anchors, images, nearest):
    found = vote(Voting(AnchorCells.of(anchors), Consensus(nearest=nearest)), images[:40])
    assert found.anchors.shape == (40, nearest)
    assert all(len(set(row)) == nearest for row in found.anchors.tolist())
    assert np.isfinite(found.weights).all()
    assert (np.diff(found.weights, axis=1) <= 0).all()


def test_as_many_are_found_where_the_nearest_cell_has_fewer(anchors, images, monkeypatch):
    monkeypatch.setattr(cells, "MARGIN", 0.0)
    found = vote(Voting(AnchorCells.of(anchors), Consensus(nearest=60)), images[:40])
    assert all(len(set(row)) == 60 for row in found.anchors.tolist())
    assert np.isfinite(found.cosines).all()


def test_more_anchors_than_cells_are_not_looked_for(anchors):
    with pytest.raises(ValueError, match="65 anchors an image are more than the 64 cells that it looks into"):
        CellSearch(AnchorCells.of(anchors), MOST_CELLS + 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_embeddings_may_be_of_any_float_type(voting, images, dtype):
    narrowed = images.to(dtype)
    assert_same(vote(voting, narrowed), vote(voting, narrowed.float()))


def test_an_image_that_is_an_anchor_votes_on_it_first(anchors, voting):
    found = vote(voting, torch.from_numpy(anchors[:200]))
    assert found.anchors[:, 0].tolist() == list(range(200))


def test_no_images_have_no_votes(voting, images):
    found = vote(voting, images[:0])
    assert found.anchors.shape == found.weights.shape == (0, 5)
