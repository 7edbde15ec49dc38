import numpy as np
import pytest
import torch

from ood_core.numerics import Exponentials, Groups, blocks, grouped_negative_mass, log_sum, mass_outside_maximum

rng = np.random.default_rng(0)


def naive_mass_outside_maximum(logits):
    return [1 - np.exp(row).max() / np.exp(row).sum() for row in logits]


def negative_mass(id_logits, negative_logits):
    """From logits as the scorers do it; negatives [images, groups, per_group] are already in group order."""
    _, groups, per_group = negative_logits.shape
    order = torch.arange(groups * per_group).view(groups, per_group)
    masses = Exponentials.of(negative_logits.flatten(1), 1.0).group_log_masses(Groups.of(order))
    return grouped_negative_mass(Exponentials.of(id_logits, 1.0).log_mass(), masses)


def naive_grouped_negative_mass(id_logits, negative_logits):
    masses = []
    for of_id, groups in zip(np.exp(id_logits), np.exp(negative_logits), strict=True):
        masses.append(np.mean([group.sum() / (of_id.sum() + group.sum()) for group in groups]))
    return masses


@pytest.mark.parametrize("labels", [1, 2, 37])
def test_mass_outside_the_maximum_is_one_minus_the_largest_probability(labels):
    logits = rng.normal(scale=3, size=(50, labels))
    found = mass_outside_maximum(torch.tensor(logits))
    np.testing.assert_allclose(found, naive_mass_outside_maximum(logits), atol=1e-12)


@pytest.mark.parametrize(("id_labels", "groups", "per_group"), [(1, 1, 1), (3, 1, 7), (37, 20, 23)])
def test_negative_mass_is_the_mean_softmax_mass_over_groups(id_labels, groups, per_group):
    id_logits = rng.normal(scale=3, size=(50, id_labels)).astype(np.float32)
    negative_logits = rng.normal(scale=3, size=(50, groups, per_group)).astype(np.float32)
    found = negative_mass(torch.tensor(id_logits), torch.tensor(negative_logits))
    expected = naive_grouped_negative_mass(id_logits.astype(float), negative_logits.astype(float))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("margin", [20.0, 40.0, 100.0, 200.0])
def test_tiny_masses_keep_their_digits(margin):
    outside = mass_outside_maximum(torch.tensor([[margin, 0.0]]))
    negative = negative_mass(torch.tensor([[margin]]), torch.tensor([[[0.0]]]))
    assert outside.item() == pytest.approx(np.exp(-margin), rel=1e-6)
    assert negative.item() == pytest.approx(np.exp(-margin), rel=1e-6)


@pytest.mark.parametrize("level", [-200.0, 95.0, 200.0])
def test_large_logits_do_not_overflow(level):
    logits = torch.full((2, 4), level)
    assert mass_outside_maximum(logits).tolist() == [0.75, 0.75]
    assert negative_mass(logits, logits[:, None]).tolist() == [0.5, 0.5]


def test_a_group_far_below_the_largest_counts_nothing_and_breaks_nothing():
    assert negative_mass(torch.tensor([[0.0]]), torch.tensor([[[0.0], [-300.0]]])).tolist() == [0.25]


@pytest.mark.parametrize("order", [[[0, 1], [2, 3]], [[3, 1], [0, 4]], [[1], [2]]])
def test_groups_are_the_listed_columns_in_order_or_not(order):
    terms = torch.arange(10.0).view(2, 5)
    found = Groups.of(torch.tensor(order)).split(terms)
    assert found.tolist() == [[[row[column] for column in group] for group in order] for row in terms.tolist()]


def test_exponentials_sum_to_the_mass_with_and_without_a_label():
    found = Exponentials.of(torch.tensor([[0.5, 0.25, -1.0]]), 0.5)
    assert found.log_mass().item() == pytest.approx(np.log(np.exp([1.0, 0.5, -2.0]).sum()), abs=1e-6)
    without = found.but(torch.tensor([0.0, 1.0, 1.0]))
    assert without.log_mass().item() == pytest.approx(np.log(np.exp([0.5, -2.0]).sum()), abs=1e-6)


def test_masses_add_by_their_logs_and_none_at_all_can_be_subtracted():
    nothing = torch.tensor([-np.inf, -np.inf], dtype=torch.float64)
    found = log_sum(nothing, torch.tensor([2.0, -np.inf], dtype=torch.float64))
    assert found.tolist() == [pytest.approx(2.0), -1e30]


def test_of_equal_maxima_one_is_the_maximum():
    assert mass_outside_maximum(torch.tensor([[5.0, 5.0]])).tolist() == [0.5]


def test_masses_are_float64():
    logits = torch.zeros(1, 2)
    assert mass_outside_maximum(logits).dtype == negative_mass(logits, logits[:, None]).dtype == torch.float64


@pytest.mark.parametrize(("rows", "counts"), [(0, []), (1, [1]), (3, [3]), (4, [3, 1]), (6, [3, 3]), (8, [3, 3, 2])])
def test_blocks_have_one_shape_and_hold_every_row_once(rows, counts):
    numbers = torch.arange(1, rows * 2 + 1).view(rows, 2)
    found = list(blocks(numbers, 3))
    assert [count for _, count in found] == counts
    assert all(block.shape == (3, 2) for block, _ in found)
    assert [row for block, count in found for row in block[:count].tolist()] == numbers.tolist()
    assert all((block[count:] == 0).all() for block, count in found)
