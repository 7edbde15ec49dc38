import numpy as np
import pytest
import torch

from ood_core.labels import density
from ood_core.labels.density import mean_log_distance


def drawn(rows: int, dim: int, seed: int = 0, shortest: float = 1.5) -> np.ndarray:
    """Random features of lengths between `shortest` and 9 more."""
    generator = np.random.default_rng(seed)
    rows_of = generator.normal(size=(rows, dim))
    lengths = shortest + 9 * generator.random((rows, 1))
    return (rows_of / np.linalg.norm(rows_of, axis=1, keepdims=True) * lengths).astype(np.float32)


def naive(features: np.ndarray, neighbours: int) -> np.ndarray:
    """METHODS.md §6, pair by pair."""
    exact = features.astype(np.float64)
    lengths = [np.sqrt((row * row).sum()) for row in exact]
    result = []
    for row, length in zip(exact, lengths, strict=True):
        distances = sorted(
            length + other_length - 2 * float(np.dot(row / length, other / other_length))
            for other, other_length in zip(exact, lengths, strict=True)
        )
        nearest = distances[: neighbours + 1]
        result.append(sum(np.log(nearest)) / len(nearest))
    return np.array(result)


@pytest.mark.parametrize(
    ("candidates", "dim", "neighbours"),
    [(1, 2, 10), (2, 2, 1), (60, 2, 5), (60, 1024, 59), (60, 64, 100), (130, 16, 1)],
)
def test_the_criterion_is_the_mean_log_distance_to_the_nearest(candidates, dim, neighbours):
    features = drawn(candidates, dim)
    rows = torch.from_numpy(features)
    np.testing.assert_allclose(mean_log_distance(rows, rows, neighbours), naive(features, neighbours), atol=1e-6)


def test_a_case_by_hand():
    rows = torch.tensor([[2.0, 0.0], [3.0, 0.0], [0.0, 5.0]])
    # Distances: 2, 3, 7 | 3, 4, 8 | 7, 8, 8; the two smallest of each.
    expected = np.log([[2, 3], [3, 4], [7, 8]]).mean(axis=1)
    np.testing.assert_allclose(mean_log_distance(rows, rows, 1), expected, atol=1e-6)


def test_many_blocks_are_as_one(monkeypatch):
    features = drawn(300, 8)
    monkeypatch.setattr(density, "ROWS_AT_ONCE", 32)
    monkeypatch.setattr(density, "COLUMNS_AT_ONCE", 64)
    rows = torch.from_numpy(features)
    np.testing.assert_allclose(mean_log_distance(rows, rows, 100), naive(features, 100), atol=1e-6)


def test_equal_candidates_are_equally_dense():
    rows = torch.from_numpy(np.repeat(drawn(4, 16), 5, axis=0))
    found = mean_log_distance(rows, rows, 3).reshape(4, 5)
    assert (found == found[:, :1]).all()


def test_a_candidates_criterion_does_not_depend_on_those_beside_it():
    candidates = torch.from_numpy(drawn(1200, 32))
    whole = mean_log_distance(candidates, candidates, 10)
    for start, end in ((0, 1), (3, 700), (511, 513), (1199, 1200), (7, 7)):
        np.testing.assert_array_equal(mean_log_distance(candidates[start:end], candidates, 10), whole[start:end])


@pytest.mark.parametrize("length", [0.0, 0.5, 1.0, float("nan")])
def test_features_too_short_for_a_logarithm_are_refused(length):
    rows = torch.tensor([[3.0, 0.0], [length, 0.0]])
    with pytest.raises(ValueError, match=f"lengths above 1, and the shortest here is {length:.4g}"):
        mean_log_distance(rows, rows, 1)


def test_just_long_enough_features_have_a_density():
    rows = torch.full((2, 1), 1.0011)
    assert np.isfinite(mean_log_distance(rows, rows, 1)).all()
