import numpy as np
import pytest
import torch

from ood_core.labels import neglabel
from ood_core.labels.neglabel import keep_lowest, similarity_quantile


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.95, 1.0])
@pytest.mark.parametrize(("candidates", "id_labels"), [(1, 1), (50, 1), (50, 2), (200, 37), (3, 1000)])
def test_the_criterion_is_the_quantile_of_the_cosines_to_all_id_labels(unit, candidates, id_labels, quantile):
    words, labels = unit(candidates, 64, seed=1), unit(id_labels, 64, seed=2)
    found = similarity_quantile(torch.from_numpy(words), torch.from_numpy(labels), quantile)
    expected = np.quantile(words.astype(np.float64) @ labels.astype(np.float64).T, quantile, axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_criterion_does_not_depend_on_how_many_candidates_are_done_at_once(unit, monkeypatch):
    words, labels = torch.from_numpy(unit(200, 64, seed=1)), torch.from_numpy(unit(37, 64, seed=2))
    whole = similarity_quantile(words, labels, 0.95)
    monkeypatch.setattr(neglabel, "ELEMENTS_AT_ONCE", 100)  # two candidates at once
    np.testing.assert_allclose(similarity_quantile(words, labels, 0.95), whole, atol=1e-6)


def test_more_candidates_than_fit_at_once(unit):
    labels = torch.from_numpy(unit(5000, 4, seed=2))  # 838 candidates at once
    words = torch.from_numpy(unit(900, 4, seed=1))
    expected = np.quantile((words.double() @ labels.double().T).numpy(), 0.95, axis=1)
    np.testing.assert_allclose(similarity_quantile(words, labels, 0.95), expected, atol=1e-6)


def test_no_candidates_have_no_criterion(unit):
    none = similarity_quantile(torch.empty(0, 8), torch.from_numpy(unit(3, 8)), 0.95)
    assert none.tolist() == []


@pytest.mark.parametrize(
    ("scores", "fraction", "kept"),
    [
        ([0.3, 0.1, 0.2], 1.0, [1, 2, 0]),
        ([0.3, 0.1, 0.2], 0.67, [1, 2]),
        ([0.3, 0.1, 0.2], 0.66, [1]),  # 1.98, rounded down
        ([0.3, 0.1, 0.2], 0.0, []),
        ([0.5, 0.1, 0.5, 0.1, 0.5], 0.8, [1, 3, 0, 2]),  # ties in the candidates' order
        ([], 0.15, []),
    ],
)
def test_the_lowest_fraction_is_kept_lowest_first(scores, fraction, kept):
    assert keep_lowest(np.array(scores), fraction).tolist() == kept


def test_fifteen_percent_of_every_twenty_are_three():
    sizes = range(0, 80_000, 20)
    assert [int(size * 0.15) for size in sizes] == [size // 20 * 3 for size in sizes]
    assert len(keep_lowest(np.zeros(140), 0.15)) == 21
