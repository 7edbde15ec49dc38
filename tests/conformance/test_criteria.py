"""The criteria that rank candidates, against the outputs of the authors' own functions."""

import numpy as np
import torch

from ood_core.labels.density import mean_log_distance
from ood_core.labels.interneg import margins
from tests.conformance.given import vectors


def test_density():
    given = vectors("debiased_density")
    features = torch.from_numpy(given["raw_text"])
    found = mean_log_distance(features, features, int(given["k"]))
    published = given["mean_log_distance"]
    np.testing.assert_allclose(found, published, rtol=0, atol=1e-5)
    order = np.argsort(found, kind="stable")
    differing = np.flatnonzero(order != given["order"])
    np.testing.assert_allclose(published[order[differing]], published[given["order"][differing]], rtol=0, atol=1e-5)


def test_interneg():
    given = vectors("interneg_select")
    words, labels, images = (torch.from_numpy(given[name]) for name in ("candidate_text", "id_text", "id_image_proxy"))
    found = margins(words, labels, images)
    np.testing.assert_array_equal(found.survives, given["survives"])
    np.testing.assert_allclose(-found.excess, given["mean_margin"], rtol=0, atol=1e-6)
    survivors = np.flatnonzero(found.survives)
    np.testing.assert_array_equal(survivors[np.argsort(found.excess[survivors], kind="stable")], given["order"])
