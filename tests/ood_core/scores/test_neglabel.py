import numpy as np
import pytest
import torch

from ood_core.methods import NegLabel
from ood_core.scores import ImageScorer, neglabel
from ood_core.scores.batch import group_order


def naive_neglabel(images, id_labels, negatives, groups, temperature):
    """METHODS.md §3, the negatives already in the bank's order."""
    images, id_labels, negatives = (rows.astype(np.float64) for rows in (images, id_labels, negatives))
    groups = min(groups, len(negatives))
    per_group = len(negatives) // groups
    scores = []
    for image in images:
        id_mass = sum(np.exp(image @ label / temperature) for label in id_labels)
        in_groups = []
        for group in range(groups):
            members = negatives[group * per_group : (group + 1) * per_group]
            negative_mass = sum(np.exp(image @ label / temperature) for label in members)
            in_groups.append(id_mass / (id_mass + negative_mass))
        scores.append(np.mean(in_groups))
    return scores


def score(bank, groups, images):
    return ImageScorer(bank, {"neglabel": NegLabel(groups)})(torch.from_numpy(images)).scores["neglabel"]


@pytest.mark.parametrize("temperature", [1.0, 0.01])
@pytest.mark.parametrize(
    ("id_labels", "negatives", "groups", "dim"),
    [
        (37, 463, 1, 64),
        (37, 463, 100, 64),
        (37, 463, 20, 64),
        (1, 10, 5, 8),
        (5, 1, 100, 8),  # fewer negatives than groups: a group for each
        (5, 99, 100, 8),
        (5, 101, 100, 8),
        (1, 1, 1, 2),
        (3, 40, 7, 1024),
    ],
)
def test_neglabel_is_the_mean_id_mass_over_groups(bank_of, unit, id_labels, negatives, groups, dim, temperature):
    of_id, of_negatives, images = unit(id_labels, dim, seed=1), unit(negatives, dim, seed=2), unit(20, dim, seed=3)
    bank = bank_of(of_id, of_negatives, permutation="none", temperature=temperature)
    expected = naive_neglabel(images, of_id, of_negatives, groups, temperature)
    np.testing.assert_allclose(score(bank, groups, images), expected, atol=1e-5)


def test_a_permutation_of_the_bank_is_the_same_as_negatives_in_that_order(bank_of, unit):
    of_id, negatives, images = unit(5, 16, seed=1), unit(40, 16, seed=2), unit(30, 16, seed=3)
    permutation = np.random.default_rng(9).permutation(40)
    permuted = score(bank_of(of_id, negatives, permutation=permutation.tolist()), 8, images)
    in_order = score(bank_of(of_id, negatives[permutation], permutation="none"), 8, images)
    np.testing.assert_allclose(permuted, in_order, atol=1e-6)


def test_a_case_by_hand():
    # Logits: 2 for the ID label; 2 and 2 in the first group, 0 and 0 in the second.
    cosines = torch.tensor([[0.02, 0.02, 0.0, 0.0]])
    order = torch.tensor([[0, 1], [2, 3]])
    found = neglabel(torch.tensor([[0.02]]), cosines, order, temperature=0.01)
    e2 = 7.38905609893065
    assert found.tolist() == [pytest.approx((1 / 3 + e2 / (e2 + 2)) / 2, abs=1e-6)]


def test_identical_labels_share_the_mass():
    found = neglabel(torch.full((1, 3), 0.25), torch.full((1, 4), 0.25), torch.tensor([[0], [1], [2], [3]]), 0.01)
    assert found.tolist() == [pytest.approx(0.75, abs=1e-6)]


def test_images_whose_float32_score_is_one_are_still_ranked():
    id_cosines, negatives = torch.tensor([[0.30], [0.31], [0.32]]), torch.full((3, 1), 0.10)
    of_id, of_negatives = torch.exp(id_cosines / 0.01), torch.exp(negatives / 0.01)
    assert (of_id / (of_id + of_negatives)).flatten().tolist() == [1.0, 1.0, 1.0]
    scores = neglabel(id_cosines, negatives, torch.tensor([[0]]), temperature=0.01)
    assert (scores.diff() > 0).all()


@pytest.mark.parametrize(
    ("permutation", "groups", "expected"),
    [
        ([0, 1, 2, 3, 4, 5], 2, [[0, 1, 2], [3, 4, 5]]),
        ([0, 1, 2, 3, 4, 5], 4, [[0], [1], [2], [3]]),  # the remainder goes from the end of the labels,
        ([5, 3, 1, 4, 2, 0], 4, [[3], [1], [2], [0]]),  # whatever the permutation makes of them
        ([5, 3, 1, 4, 2, 0], 1, [[5, 3, 1, 4, 2, 0]]),
        ([1, 0], 100, [[1], [0]]),
    ],
)
def test_the_remainder_is_dropped_before_the_permutation(permutation, groups, expected):
    assert group_order(np.array(permutation), groups).tolist() == expected
