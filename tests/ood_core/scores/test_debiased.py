import numpy as np
import pytest
import torch

from ood_core.methods import Debiased
from ood_core.scores import ImageScorer


def naive_debiased(images, id_labels, negatives, groups, fraction, temperature):
    """METHODS.md §6, the negatives already in the bank's order."""
    images, id_labels, negatives = (rows.astype(np.float64) for rows in (images, id_labels, negatives))
    groups = min(groups, len(negatives))
    per_group = len(negatives) // groups
    scores = []
    for image in images:
        of_id = np.exp(id_labels @ image / temperature)
        terms = []
        for group in range(groups):
            of_group = np.exp(negatives[group * per_group : (group + 1) * per_group] @ image / temperature)
            freed = of_group.mean() / fraction - (1 - fraction) / fraction * of_id.mean()
            terms.append(np.mean(of_id / (of_id.sum() + per_group * freed)))
        scores.append(np.mean(terms))
    return scores


@pytest.mark.parametrize("fraction", [0.3, 0.5, 1.0])
@pytest.mark.parametrize(
    ("id_labels", "negatives", "groups", "dim"),
    [(37, 463, 20, 64), (1, 1, 1, 2), (5, 3, 100, 8), (4, 101, 100, 8), (30, 40, 7, 1024)],
)
def test_debiased_is_its_formula(bank_of, unit, id_labels, negatives, groups, dim, fraction):
    of_id, of_negatives, images = unit(id_labels, dim, seed=1), unit(negatives, dim, seed=2), unit(20, dim, seed=3)
    bank = bank_of(of_id, of_negatives, permutation="none", temperature=0.1)
    found = ImageScorer(bank, {"debiased": Debiased(groups, fraction)})(torch.from_numpy(images)).scores["debiased"]
    expected = naive_debiased(images, of_id, of_negatives, groups, fraction, 0.1)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-6)


def test_where_the_id_mean_dominates_the_score_is_negative_as_published(bank_of):
    # Z = 1·e^10 + 4·(2·e^0 - 1·e^10) < 0
    axes = np.eye(2, dtype=np.float32)
    bank = bank_of(axes[:1], axes[[1, 1, 1, 1]], temperature=0.1)
    found = ImageScorer(bank, {"debiased": Debiased(1, 0.5)})(torch.from_numpy(axes[:1])).scores["debiased"]
    e10 = np.exp(10.0)
    assert found.tolist() == [pytest.approx(e10 / (e10 + 4 * (2 - e10)), rel=1e-6)]
    assert found[0] < 0
