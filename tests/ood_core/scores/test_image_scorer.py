import numpy as np
import pytest
import torch

from ood_core.methods import MCM, NegLabel
from ood_core.scores import ImageScorer

AXES = np.eye(4, dtype=np.float32)


def test_labels_are_the_nearest_and_the_probability_is_at_the_banks_temperature(bank_of):
    bank = bank_of(AXES[:2], AXES[2:], temperature=0.5)
    images = torch.tensor([[0.8, 0.0, 0.6, 0.0], [0.0, 0.6, 0.0, 0.8]])
    found = ImageScorer(bank, {})(images)
    assert found.id_label.tolist() == [0, 1]
    assert found.negative_label.tolist() == [0, 1]
    assert found.id_probability.tolist() == pytest.approx([0.8320183851339245, 0.7685247834990178], abs=1e-6)
    assert found.scores == {}


def test_a_bank_without_negatives_names_none(bank_of):
    found = ImageScorer(bank_of(AXES[:2], AXES[:0]), {"mcm": MCM()})(torch.from_numpy(AXES[:3]))
    assert found.negative_label.tolist() == [-1, -1, -1]


def test_methods_together_give_what_each_gives_alone(bank_of, unit):
    bank, images = bank_of(unit(5, 16, seed=1), unit(300, 16, seed=2)), torch.from_numpy(unit(300, 16, seed=3))
    methods = {"neglabel": NegLabel(), "mcm": MCM(0.1)}
    together = ImageScorer(bank, methods)(images)
    assert list(together.scores) == ["neglabel", "mcm"]
    for name, parameters in methods.items():
        alone = ImageScorer(bank, {name: parameters})(images)
        np.testing.assert_array_equal(together.scores[name], alone.scores[name])


def test_no_images_give_empty_columns_of_the_usual_types(bank_of):
    bank, methods = bank_of(AXES[:2], AXES[2:]), {"mcm": MCM(), "neglabel": NegLabel()}
    some, none = (ImageScorer(bank, methods)(torch.from_numpy(AXES[:count])) for count in (1, 0))
    for column in ("id_label", "id_probability", "negative_label"):
        assert getattr(none, column).shape == (0,)
        assert getattr(none, column).dtype == getattr(some, column).dtype
    assert {name: scores.shape for name, scores in none.scores.items()} == {"mcm": (0,), "neglabel": (0,)}


def test_labels_and_probability_do_not_depend_on_the_batch(bank_of, unit):
    bank, images = bank_of(unit(37, 64, seed=1), unit(463, 64, seed=2)), torch.from_numpy(unit(300, 64, seed=3))
    scorer = ImageScorer(bank, {})
    together, alone = scorer(images), [scorer(part) for part in images.split(7)]
    for column in ("id_label", "id_probability", "negative_label"):
        np.testing.assert_array_equal(getattr(together, column), np.concatenate([getattr(a, column) for a in alone]))
