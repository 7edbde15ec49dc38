"""What every method keeps, whatever it computes. A line in METHODS is all that a new method needs to be held to it."""

import dataclasses

import numpy as np
import pytest
import torch

from ood_core.consensus.log_odds import ROUNDING, log_odds
from ood_core.labels import LabelBank
from ood_core.methods import METHODS, ImageMethod
from ood_core.scores import ImageBatch, ImageScorer, Labels
from tests.ood_core.conftest import HashEncoder

FEW_LABELS = [(5, 0), (6, 0), (7, 0), (10, 0), (4, 3), (1, 9)]
"""Numbers of labels at which a plain product's last bits depend on where in a block the image is."""
SCORING = {name: METHODS[name] for name in sorted(METHODS) if issubclass(METHODS[name], ImageMethod)}
NEEDING_NEGATIVES = sorted(name for name in SCORING if SCORING[name].needs_negatives)
every_method = pytest.mark.parametrize("method", SCORING)
IMAGES = 600  # three blocks, the last one not full


@pytest.fixture
def bank(bank_of, unit):
    return bank_of(unit(7, 48, seed=1), unit(230, 48, seed=2))


@pytest.fixture
def images(unit):
    return torch.from_numpy(unit(IMAGES, 48, seed=3))


def score(bank: LabelBank, method: str, images: torch.Tensor) -> np.ndarray:
    """By a text encoder of sorts, and with the images' own numbers, turned, for features of their places."""
    scorer = ImageScorer(bank, {method: made(method)}, encode=HashEncoder(bank.dim), learned=learned(bank))
    return scorer(images, places(images)).scores[method]


def learned(bank: LabelBank) -> dict[str, np.ndarray]:
    """What methods must have learned to score at all: TANL by which of the bank's negatives, here by all."""
    return {"tanl": np.arange(bank.negative_count)}


def places(images: torch.Tensor) -> torch.Tensor:
    return torch.stack([images, images.roll(1, dims=1), images.roll(2, dims=1)], dim=1)


def made(method: str) -> ImageMethod:
    """The method with its default parameters."""
    parameters = METHODS[method]()
    assert isinstance(parameters, ImageMethod)
    return parameters


def test_every_method_has_a_scorer_but_those_that_change_the_scores_of_another():
    assert set(SCORING) == set(METHODS) - {"consensus", "reference", "verdicts"}


@every_method
def test_scores_are_finite_float64_one_per_image(bank, images, method):
    scores = score(bank, method, images)
    assert scores.shape == (IMAGES,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()


@every_method
def test_scores_are_within_the_range_that_the_method_states(bank, images, method):
    lowest, highest = made(method).score_range
    assert lowest < highest
    scores = np.concatenate([score(bank, method, given) for given in (images, torch.from_numpy(bank.embeddings))])
    assert scores.max() <= highest + ROUNDING
    assert scores.min() >= lowest - ROUNDING or made(method).falls_below_range


@every_method
def test_scores_within_the_range_have_log_odds_in_the_same_order(bank, images, method):
    scores = np.sort(score(bank, method, images))
    found = log_odds(scores, made(method))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= -1e-12).all()


@every_method
@pytest.mark.parametrize("batch", [1, 2, 13, 255, 256, 257, 599])
def test_a_score_is_the_same_to_the_last_bit_in_a_batch_of_any_size(bank, images, method, batch):
    alone = np.concatenate([score(bank, method, part) for part in images.split(batch)[:40]])
    np.testing.assert_array_equal(alone, score(bank, method, images)[: len(alone)])


@every_method
def test_a_score_is_the_same_to_the_last_bit_in_any_order(bank, images, method):
    order = torch.from_numpy(np.random.default_rng(0).permutation(IMAGES))
    np.testing.assert_array_equal(score(bank, method, images[order]), score(bank, method, images)[order])


@every_method
def test_a_score_is_the_same_to_the_last_bit_beside_any_images(bank, images, unit, method):
    padded = torch.cat([torch.from_numpy(unit(77, 48, seed=4)), images[:50], torch.zeros(9, 48)])
    np.testing.assert_array_equal(score(bank, method, padded)[77:127], score(bank, method, images[:50]))


@every_method
def test_no_images_have_no_scores(bank, images, method):
    scores = score(bank, method, images[:0])
    assert scores.shape == (0,)
    assert scores.dtype == np.float64


@every_method
def test_scoring_changes_nothing_that_it_is_given(bank, images, method):
    files, given, generator = bank.to_files(), images.clone(), torch.get_rng_state()
    score(bank, method, images)
    assert bank.to_files() == files
    assert torch.equal(images, given)
    assert torch.equal(torch.get_rng_state(), generator)


@every_method
def test_a_scorer_leaves_the_batch_as_it_was(bank, images, method):
    labels = Labels.of(bank, encode=HashEncoder(bank.dim))
    batch = ImageBatch.of(images[:20], labels, places(images[:20]))
    given = [labels.embeddings, batch.embeddings, batch.cosines]
    before = [tensor.clone() for tensor in given]
    made(method).scorer(labels, learned(bank).get(method))(batch)
    assert all(torch.equal(after, tensor) for after, tensor in zip(given, before, strict=True))


@every_method
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_embeddings_may_be_of_any_float_type(bank, images, method, dtype):
    narrowed = images.to(dtype)
    np.testing.assert_array_equal(score(bank, method, narrowed), score(bank, method, narrowed.float()))


@every_method
@pytest.mark.parametrize("dim", [2, 3, 64, 1024])
def test_embeddings_may_be_of_any_length(bank_of, unit, method, dim):
    bank = bank_of(unit(3, dim, seed=1), unit(5, dim, seed=2))
    scores = score(bank, method, torch.from_numpy(unit(4, dim, seed=3)))
    assert np.isfinite(scores).all()


@every_method
def test_an_image_equal_to_an_id_label_outranks_one_equal_to_a_negative(bank, method):
    embeddings = torch.from_numpy(bank.embeddings)
    scores = score(bank, method, embeddings)
    assert scores[: bank.id_count].mean() > scores[bank.id_count :].mean()
    if method in NEEDING_NEGATIVES and method != "negrefine":  # which looks at texts that mean nothing here
        assert scores[: bank.id_count].min() > scores[bank.id_count :].max()


def renamed(bank: LabelBank, ids: int) -> LabelBank:
    """With the names of the first labels turned as well."""
    return dataclasses.replace(bank, texts=bank.texts[:ids][::-1] + bank.texts[ids:])


@every_method
def test_the_order_of_the_id_labels_does_not_matter(bank_of, unit, images, method):
    id_labels, negatives = unit(7, 48, seed=1), unit(230, 48, seed=2)
    turned = score(renamed(bank_of(id_labels[::-1], negatives), 7), method, images)
    np.testing.assert_allclose(turned, score(bank_of(id_labels, negatives), method, images), atol=1e-6)


@pytest.mark.parametrize("method", NEEDING_NEGATIVES)
def test_a_method_that_needs_negatives_says_so_when_it_is_made(bank_of, unit, method):
    bank = bank_of(unit(7, 48), unit(0, 48))
    with pytest.raises(ValueError, match="the label bank has no negative labels, which this method needs"):
        ImageScorer(bank, {method: made(method)}, encode=HashEncoder(48))


@pytest.mark.parametrize("method", sorted(set(SCORING) - set(NEEDING_NEGATIVES)))
def test_a_method_that_needs_no_negatives_gives_the_same_score_without(bank, bank_of, unit, images, method):
    without = bank_of(unit(7, 48, seed=1), unit(0, 48))
    np.testing.assert_allclose(score(without, method, images), score(bank, method, images), atol=1e-6)


@pytest.mark.parametrize(
    ("method", "id_labels", "negatives"),
    [(name, ids, rest) for name in SCORING for ids, rest in FEW_LABELS if rest or name not in NEEDING_NEGATIVES],
)
def test_a_score_is_the_same_to_the_last_bit_at_any_place_whatever_the_number_of_labels(
    bank_of, unit, images, method, id_labels, negatives
):
    bank = bank_of(unit(id_labels, 48, seed=1), unit(negatives, 48, seed=2))
    np.testing.assert_array_equal(score(bank, method, images[13:90]), score(bank, method, images)[13:90])
