"""Consensus with given anchors against a float64 evaluation of METHODS.md §10, and as images vote on them in float32.

The vectors know no `reach`.
"""

import numpy as np
import pytest
import torch

from ood_core.consensus import Votes, agreed
from ood_core.consensus.voting import Voting
from ood_core.methods import Consensus
from tests.conformance.given import Vectors, vectors

CASES = [
    pytest.param(Consensus(reach=None), "score", id="as published"),
    pytest.param(Consensus(reach=None, caution=0.0), "score_caution0", id="caution 0"),
    pytest.param(Consensus(reach=None, nearest=1), "score_nearest1", id="one anchor"),
]


def votes(given: Vectors, parameters: Consensus) -> Votes:
    """In float64."""
    cosines = given["embeddings"].astype(np.float64) @ given["anchors"].astype(np.float64).T
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : parameters.nearest]
    closest = np.take_along_axis(cosines, nearest, axis=1)
    weights = np.exp(parameters.sharpness * (closest - closest[:, :1]))
    return Votes(given["base_log_odds"], nearest, weights / weights.sum(axis=1, keepdims=True), closest[:, 0])


@pytest.mark.parametrize(("parameters", "column"), CASES)
def test_a_score_is_that_of_the_vectors(parameters, column):
    given = vectors("consensus")
    made = votes(given, parameters)
    found = agreed(parameters, len(given["anchors"]), [made])
    np.testing.assert_allclose(found.scores(made).score, given[column], rtol=0, atol=1e-9)


def test_agreement_trust_and_the_neighbours_means_are_those_of_the_vectors():
    given = vectors("consensus")
    parameters = Consensus(reach=None, rounds=1)
    made = votes(given, parameters)
    found = agreed(parameters, len(given["anchors"]), [made])
    after_one = found.scores(made)
    u = (given["base_log_odds"] - given["base_log_odds"].mean()) / given["base_log_odds"].std()
    assert found.agreement == pytest.approx(float(given["agreement"]), abs=1e-9)
    np.testing.assert_allclose(after_one.weight, given["weight"], rtol=0, atol=1e-9)
    # The first round is (1 - A) u + A m.
    np.testing.assert_allclose(after_one.shift, given["weight"] * (given["anchor_score"] - u), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("parameters", "column"), CASES)
def test_votes_in_float32_give_nearly_the_same(parameters, column):
    given = vectors("consensus")
    made = Voting(given["anchors"], parameters)(torch.from_numpy(given["embeddings"]), given["base_log_odds"])
    found = agreed(parameters, len(given["anchors"]), [made])
    np.testing.assert_allclose(found.scores(made).score, given[column], rtol=0, atol=1e-5)
