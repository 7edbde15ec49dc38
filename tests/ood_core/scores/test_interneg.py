import dataclasses

import numpy as np
import pytest
import torch

from ood_core.labels import LabelBank
from ood_core.methods import InterNeg
from ood_core.scores import ImageScorer, score_dataset

TEMPERATURE = 0.1


@pytest.fixture
def bank(bank_of, unit) -> LabelBank:
    """With the mean images of its ID labels, which lie near the labels."""
    made = bank_of(unit(6, 32, seed=1), unit(21, 32, seed=2), permutation_seed=3, temperature=TEMPERATURE)
    proxies = unit(6, 32, seed=1) + 0.2 * unit(6, 32, seed=9)
    return dataclasses.replace(made, image_embeddings=proxies / np.linalg.norm(proxies, axis=1, keepdims=True))


@pytest.fixture
def images(bank, unit):
    """Sixty near the negatives, sixty anywhere."""
    near = np.tile(bank.embeddings[bank.id_count :], (3, 1))[:60] + 0.6 * unit(60, 32, seed=5)
    return np.concatenate([near / np.linalg.norm(near, axis=1, keepdims=True), unit(60, 32, seed=4)]).astype(np.float32)


def keys_of(images):
    return [f"image {number}" for number in range(len(images))]


def turned(images, keys):
    """A text encoder's inversion, of sorts: a vector near the image that depends on the key."""
    turns = torch.tensor([sum(map(ord, key)) % 7 - 3 for key in keys])
    words = images + 0.1 * turns[:, None] * images.roll(1, dims=1)
    return words / words.norm(dim=1, keepdim=True)


def score(bank, images, parameters, keys=None):
    found = score_dataset(
        bank, {"interneg": parameters}, torch.from_numpy(images), keys or keys_of(images), invert=turned
    )
    return found.scores["interneg"]


def grouped(images, ids, negatives, groups, seed):
    """METHODS.md §3, the negatives permuted by a seed."""
    groups = min(groups, len(negatives))
    kept = len(negatives) - len(negatives) % groups
    order = np.random.default_rng(seed).permutation(len(negatives))
    in_order = negatives[order[order < kept]]
    of_id = np.exp(images @ ids.T / TEMPERATURE).sum(1)
    of_groups = np.exp(images @ in_order.T / TEMPERATURE).reshape(len(images), groups, -1).sum(2)
    return (of_id[:, None] / (of_id[:, None] + of_groups)).mean(1)


def naive_interneg(bank, images, parameters):
    """METHODS.md §8, transductive, from the formula."""
    ids, negatives = (rows.astype(np.float64) for rows in np.split(bank.embeddings, [bank.id_count]))
    exact, proxies = images.astype(np.float64), bank.image_embeddings.astype(np.float64)
    static = grouped(exact, ids, negatives, parameters.groups, 3)
    low = [number for number in np.argsort(static) if static[number] < parameters.invert_below]
    low = low[: parameters.max_inversions]
    words = turned(torch.from_numpy(images[low]), [keys_of(images)[number] for number in low]).double().numpy()
    margins = (ids * proxies).sum(1) - words @ proxies.T
    kept = [row for row in np.argsort(-margins.mean(1)) if (margins[row] > 0).all()][: parameters.extra_negatives]
    return grouped(exact, ids, np.concatenate([negatives, words[kept]]), parameters.groups, 3), len(kept)


@pytest.mark.parametrize(
    "parameters",
    [
        InterNeg(),
        InterNeg(groups=1),
        InterNeg(extra_negatives=3),
        InterNeg(max_inversions=9),
        InterNeg(invert_below=0.15),
    ],
)
def test_interneg_is_the_formula_with_the_inverted_images_as_negatives(bank, images, parameters):
    expected, extra = naive_interneg(bank, images, parameters)
    assert 0 < extra <= parameters.extra_negatives
    np.testing.assert_allclose(score(bank, images, parameters), expected, atol=1e-5)


@pytest.mark.parametrize("nothing", [{"max_inversions": 0}, {"extra_negatives": 0}, {"invert_below": 0.0}])
def test_without_inversions_it_is_neglabel_and_needs_no_text_encoder(bank, images, nothing):
    found = score_dataset(bank, {"interneg": InterNeg(**nothing)}, torch.from_numpy(images), keys_of(images))
    ids, negatives = (rows.astype(np.float64) for rows in np.split(bank.embeddings, [bank.id_count]))
    np.testing.assert_allclose(
        found.scores["interneg"], grouped(images.astype(np.float64), ids, negatives, 5, 3), atol=1e-5
    )


def test_with_inversions_and_no_text_encoder_it_says_so(bank, images):
    with pytest.raises(ValueError, match="interneg needs a text encoder to invert images"):
        score_dataset(bank, {"interneg": InterNeg()}, torch.from_numpy(images), keys_of(images))


def test_scores_are_the_same_to_the_last_bit_in_any_order(bank, images):
    order = np.random.default_rng(0).permutation(len(images))
    keys = keys_of(images)
    other = score(bank, images[order], InterNeg(), [keys[number] for number in order])
    np.testing.assert_array_equal(other, score(bank, images, InterNeg())[order])


def sure_means(bank, images):
    """Each ID label's mean over the 16 images of lowest entropy that surely are of it."""
    exact, ids = images.astype(np.float64), bank.embeddings[: bank.id_count].astype(np.float64)
    static = grouped(exact, ids, bank.embeddings[bank.id_count :].astype(np.float64), 5, 3)
    terms = np.exp(exact @ ids.T / TEMPERATURE)
    p = terms / terms.sum(1, keepdims=True)
    entropy, label = -(p * np.log(p + 1e-8)).sum(1), p.argmax(1)
    rows = []
    for number in range(len(ids)):
        sure = [i for i in np.argsort(entropy) if static[i] > 0.75 and label[i] == number][:16]
        mean = exact[sure].mean(0) if sure else np.ones(bank.dim)
        rows.append(mean / np.linalg.norm(mean))
    return np.stack(rows).astype(np.float32)


def test_without_mean_images_they_come_from_the_images_that_are_surely_id(bank, images, unit):
    near = np.repeat(bank.image_embeddings, 20, axis=0) + 0.3 * unit(120, 32, seed=6)
    both = np.concatenate([near / np.linalg.norm(near, axis=1, keepdims=True), images]).astype(np.float32)
    known = dataclasses.replace(bank, image_embeddings=sure_means(bank, both))
    unlabelled = dataclasses.replace(bank, image_embeddings=None)
    np.testing.assert_allclose(score(unlabelled, both, InterNeg()), score(known, both, InterNeg()), atol=1e-5)
    assert (score(unlabelled, both, InterNeg()) != score(unlabelled, both, InterNeg(max_inversions=0))).any()


def test_without_any_sure_image_nothing_joins_the_negatives(bank, images):
    far = images[ImageScorer(bank, {"interneg": InterNeg()})(torch.from_numpy(images)).scores["interneg"] < 0.3]
    unlabelled = dataclasses.replace(bank, image_embeddings=None)
    without = ImageScorer(bank, {"interneg": InterNeg()})(torch.from_numpy(far)).scores["interneg"]
    assert len(far) > 10
    np.testing.assert_array_equal(score(unlabelled, far, InterNeg()), without)


def test_sequential_with_one_batch_is_transductive(bank, images):
    in_order = score(bank, images, InterNeg(order="sequential", batch_size=len(images)))
    np.testing.assert_array_equal(in_order, score(bank, images, InterNeg()))


def test_sequential_does_not_know_what_is_to_come_and_inverts_no_more_than_asked(bank, images):
    parameters = InterNeg(order="sequential", batch_size=30, max_inversions=12)
    whole = score(bank, images, parameters)
    np.testing.assert_array_equal(score(bank, images[:60], parameters), whole[:60])
    inverted = []

    def counted(given, keys):
        inverted.extend(keys)
        return turned(given, keys)

    score_dataset(bank, {"interneg": parameters}, torch.from_numpy(images), keys_of(images), invert=counted)
    assert len(inverted) == len(set(inverted)) == 12
