import numpy as np
import pytest
import torch

from ood_core.labels.neglabel import similarity_quantile


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.95, 1.0])
@pytest.mark.parametrize(("candidates", "id_labels"), [(1, 1), (50, 1), (50, 2), (200, 37), (3, 1000)])
def test_the_criterion_is_the_quantile_of_the_cosines_to_all_id_labels(unit, candidates, id_labels, quantile):
    words, labels = unit(candidates, 64, seed=1), unit(id_labels, 64, seed=2)
    found = similarity_quantile(torch.from_numpy(words), torch.from_numpy(labels), quantile)
    expected = np.quantile(words.astype(np.float64) @ labels.astype(np.float64).T, quantile, axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_candidates_criterion_does_not_depend_on_those_beside_it(unit):
    words, labels = torch.from_numpy(unit(600, 64, seed=1)), torch.from_numpy(unit(37, 64, seed=2))
    whole = similarity_quantile(words, labels, 0.95)
    for start, end in ((0, 1), (3, 300), (599, 600)):
        np.testing.assert_array_equal(similarity_quantile(words[start:end], labels, 0.95), whole[start:end])


def test_more_candidates_than_fit_at_once(unit):
    labels = torch.from_numpy(unit(5000, 4, seed=2))  # 256 candidates at once
    words = torch.from_numpy(unit(900, 4, seed=1))
    expected = np.quantile((words.double() @ labels.double().T).numpy(), 0.95, axis=1)
    np.testing.assert_allclose(similarity_quantile(words, labels, 0.95), expected, atol=1e-6)


def test_no_candidates_have_no_criterion(unit):
    none = similarity_quantile(torch.empty(0, 8), torch.from_numpy(unit(3, 8)), 0.95)
    assert none.tolist() == []
