import numpy as np
import pytest
import torch

from ood_core.memory import Candidates
from ood_core.memory.proxies import Remembered, SampleProxies, task_proxies


def memory(unit, rows, dim, seed=5) -> Candidates:
    count = len(rows)
    keys = [f"key {number}" for number in range(count)]
    return Candidates(np.array(rows, np.int64), np.zeros(count), keys, unit(count, dim, seed=seed))


def naive_row(label, images):
    return np.concatenate([label[None], images]).astype(np.float64)


@pytest.mark.parametrize("dim", [2, 64, 1024])
def test_a_task_proxy_is_the_normalised_mean_of_its_row(unit, dim):
    labels, given = unit(6, dim, seed=1), memory(unit, [0, 3, 3, 3, 5], dim)
    remembered = Remembered.of(given, torch.from_numpy(labels))
    assert remembered.labels.tolist() == [0, 3, 5]
    for row, found in zip([0, 3, 5], task_proxies(remembered), strict=True):
        mean = naive_row(labels[row], given.embeddings[given.rows == row]).mean(axis=0)
        np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 5.0, 5.5])
@pytest.mark.parametrize("dim", [2, 64, 1024])
def test_a_sample_cosine_is_that_to_the_proxy_made_for_the_image(unit, dim, beta):
    labels, images, given = unit(6, dim, seed=1), unit(9, dim, seed=2), memory(unit, [0, 3, 3, 3, 5], dim)
    remembered = Remembered.of(given, torch.from_numpy(labels))
    found = SampleProxies.of(remembered).cosines(torch.from_numpy(images), beta)
    for column, row in enumerate([0, 3, 5]):
        features = naive_row(labels[row], given.embeddings[given.rows == row])
        for image, cosine in zip(images.astype(np.float64), found[:, column], strict=True):
            proxy = np.exp(-beta * (1 - features @ image)) @ features
            assert cosine.item() == pytest.approx(image @ proxy / np.linalg.norm(proxy), abs=1e-5)


def test_an_empty_memory_has_no_proxies(unit):
    remembered = Remembered.of(Candidates.none(8), torch.from_numpy(unit(6, 8)))
    assert task_proxies(remembered).shape == (0, 8)
    cosines = SampleProxies.of(remembered).cosines(torch.from_numpy(unit(4, 8)), 5.0)
    assert cosines.shape == (4, 0)
