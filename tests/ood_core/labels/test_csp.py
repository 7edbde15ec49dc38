import numpy as np
import pytest
import torch

from ood_core.labels.csp import capped_maximum_similarity


def naive(words: np.ndarray, labels: np.ndarray) -> np.ndarray:
    largest = np.array([max(float(np.dot(word, label)) for label in labels) for word in words.astype(np.float64)])
    return np.array([1.0 if value > 0.95 else value for value in largest])


@pytest.mark.parametrize(("candidates", "id_labels", "dim"), [(1, 1, 2), (70, 1, 64), (300, 37, 4), (20, 300, 1024)])
def test_the_criterion_is_the_largest_cosine_to_an_id_label(unit, candidates, id_labels, dim):
    words, labels = unit(candidates, dim, seed=1), unit(id_labels, dim, seed=2)
    found = capped_maximum_similarity(torch.from_numpy(words), torch.from_numpy(labels))
    np.testing.assert_allclose(found, naive(words, labels), atol=1e-6)


def test_what_says_the_same_as_an_id_label_comes_last():
    angles = np.radians([0.0, 18.0, 18.4, 90.0])  # cosines to the first axis: 1, 0.951, 0.949, 0
    words = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = capped_maximum_similarity(torch.from_numpy(words), torch.eye(2)[:1])
    assert found[:2].tolist() == [1.0, 1.0]
    np.testing.assert_allclose(found[2:], np.cos(angles[2:]), atol=1e-6)


def test_a_candidates_criterion_does_not_depend_on_those_beside_it(unit):
    words, labels = torch.from_numpy(unit(600, 64, seed=1)), torch.from_numpy(unit(37, 64, seed=2))
    whole = capped_maximum_similarity(words, labels)
    for start, end in ((0, 1), (3, 300), (599, 600), (5, 5)):
        np.testing.assert_array_equal(capped_maximum_similarity(words[start:end], labels), whole[start:end])
