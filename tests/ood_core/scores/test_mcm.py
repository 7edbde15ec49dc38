import numpy as np
import pytest
import torch

from ood_core.methods import MCM
from ood_core.scores import ImageScorer, mcm


def naive_mcm(images, id_labels, temperature):
    """METHODS.md §1."""
    scores = []
    for image in images.astype(np.float64):
        exponentials = [np.exp(image @ label / temperature) for label in id_labels.astype(np.float64)]
        scores.append(max(exponentials) / sum(exponentials))
    return scores


@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.01])
@pytest.mark.parametrize(("id_labels", "dim"), [(1, 8), (2, 2), (37, 64), (5, 1024)])
def test_mcm_is_the_largest_probability_of_an_id_label(bank_of, unit, id_labels, dim, temperature):
    bank, images = bank_of(unit(id_labels, dim, seed=1), unit(3, dim, seed=2)), unit(50, dim, seed=3)
    found = ImageScorer(bank, {"mcm": MCM(temperature)})(torch.from_numpy(images)).scores["mcm"]
    np.testing.assert_allclose(found, naive_mcm(images, bank.embeddings[:id_labels], temperature), atol=1e-5)


def test_a_case_by_hand():
    # Cosines 1 and 0 at temperature 1: e / (e + 1).
    assert mcm(torch.tensor([[1.0, 0.0]]), temperature=1.0).tolist() == [pytest.approx(0.7310585786300049, abs=1e-15)]


def test_one_id_label_is_always_certain():
    assert mcm(torch.tensor([[-0.3], [0.9]]), temperature=0.01).tolist() == [1.0, 1.0]


def test_identical_labels_share_the_probability():
    assert mcm(torch.full((1, 4), 0.25), temperature=0.01).tolist() == [0.25]


def test_images_whose_float32_probability_is_one_are_still_ranked():
    cosines = torch.tensor([[0.30, 0.10], [0.31, 0.10], [0.32, 0.10]])
    assert torch.softmax(cosines / 0.01, dim=1)[:, 0].tolist() == [1.0, 1.0, 1.0]
    scores = mcm(cosines, temperature=0.01)
    assert (scores.diff() > 0).all()
