import numpy as np
import pytest
import torch

from ood_core.consensus import log_odds
from ood_core.methods import MaxCos
from ood_core.scores import ImageScorer, max_cos


@pytest.mark.parametrize(("id_labels", "dim"), [(1, 8), (2, 2), (37, 64), (5, 1024)])
def test_max_cos_is_the_largest_cosine_to_an_id_label(bank_of, unit, id_labels, dim):
    bank, images = bank_of(unit(id_labels, dim, seed=1), unit(3, dim, seed=2)), unit(50, dim, seed=3)
    found = ImageScorer(bank, {"max-cos": MaxCos()})(torch.from_numpy(images)).scores["max-cos"]
    naive = [max(float(image @ label) for label in bank.embeddings[:id_labels].astype(np.float64)) for image in images]
    np.testing.assert_allclose(found, naive, atol=1e-6)


def test_a_case_by_hand():
    assert max_cos(torch.tensor([[0.25, -1.0], [-0.5, -0.25]])).tolist() == [0.25, -0.25]


def test_consensus_takes_the_cosine_as_it_is():
    scores = np.array([-1.0, 0.0, 0.25, 1.0])
    np.testing.assert_array_equal(log_odds(scores, MaxCos()), scores)
