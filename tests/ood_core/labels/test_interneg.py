import numpy as np
import pytest
import torch

from ood_core.labels.class_images import class_means
from ood_core.labels.interneg import margins


def naive(words: np.ndarray, labels: np.ndarray, images: np.ndarray) -> tuple[list[bool], list[float]]:
    """METHODS.md §8, candidate by candidate."""
    labels, images = labels.astype(np.float64), images.astype(np.float64)
    survives, mean_margins = [], []
    for word in words.astype(np.float64):
        each = [float(np.dot(label, image) - np.dot(word, image)) for label, image in zip(labels, images, strict=True)]
        survives.append(all(margin > 0 for margin in each))
        mean_margins.append(sum(each) / len(each))
    return survives, mean_margins


@pytest.mark.parametrize(("candidates", "id_labels", "dim"), [(1, 1, 2), (400, 1, 2), (300, 5, 64), (70, 300, 1024)])
def test_a_candidate_survives_if_every_class_is_nearer_to_its_own_label(unit, candidates, id_labels, dim):
    words, labels, noise = unit(candidates, dim, 1), unit(id_labels, dim, 2), unit(id_labels, dim, 3)
    images = labels + 0.8 * noise
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    found = margins(torch.from_numpy(words), torch.from_numpy(labels), torch.from_numpy(images))
    survives, mean_margins = naive(words, labels, images)
    assert found.survives.tolist() == survives
    np.testing.assert_allclose(found.excess, -np.array(mean_margins), atol=1e-6)


def test_a_candidate_that_is_an_id_label_never_survives(unit):
    labels, images = torch.from_numpy(unit(600, 24, 1)), torch.from_numpy(unit(600, 24, 2))
    assert not margins(labels, labels, images).survives.any()


def test_of_two_classes_with_the_same_label_each_has_its_own_images(unit):
    words, images = unit(50, 8, 1), unit(2, 8, 2)
    labels = np.repeat(unit(1, 8, 3), 2, axis=0)
    found = margins(torch.from_numpy(words), torch.from_numpy(labels), torch.from_numpy(images))
    assert found.survives.tolist() == naive(words, labels, images)[0]


def test_a_candidates_margins_do_not_depend_on_those_beside_it(unit):
    words, labels, images = (torch.from_numpy(unit(rows, 64, seed)) for rows, seed in ((600, 1), (37, 2), (37, 3)))
    whole = margins(words, labels, images)
    for start, end in ((0, 1), (3, 300), (599, 600), (5, 5)):
        part = margins(words[start:end], labels, images)
        np.testing.assert_array_equal(part.survives, whole.survives[start:end])
        np.testing.assert_array_equal(part.excess, whole.excess[start:end])


def test_a_classes_mean_is_of_unit_length(unit):
    images, labels = unit(9, 16), np.array([2, 0, 1, 0, 2, 2, 1, 1, 1])
    found = class_means(images, labels, 3)
    for number in range(3):
        mean = images[labels == number].astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(found[number], mean / np.linalg.norm(mean), atol=1e-7)
    assert found.dtype == np.float32


@pytest.mark.parametrize(("rows", "labels"), [([[1.0, 0.0]], [0]), ([[1, 0], [0, 1], [0, -1]], [0, 1, 1])])
def test_a_class_without_a_mean_is_refused(rows, labels):
    with pytest.raises(ValueError, match="ID label number 1 has no mean image embedding"):
        class_means(np.array(rows, np.float32), np.array(labels), 2)
