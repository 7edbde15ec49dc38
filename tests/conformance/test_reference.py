"""The reference and crowding with given anchors against a float64 evaluation of METHODS.md §10b and §10c, and as images
vote in float32."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ood_core.consensus import Agreement, Base, LabelVotes, ReferenceSums, Terms, Votes, agreed
from ood_core.consensus.exact import floating
from ood_core.consensus.reference import BITS
from ood_core.consensus.voting import LABEL_SHARPNESS, NEAREST_LABELS, Voting
from ood_core.methods import Consensus, MaxCos
from ood_core.scores import ImageScorer
from tests.conformance.given import Vectors, bank, vectors

PARAMETERS = Consensus()
CROWDING = 0.15


def exact_votes(given: Vectors, images: np.ndarray) -> Votes:
    """In float64, without log-odds."""
    anchors, weights, cosines = nearest(images, given["anchors"], PARAMETERS.nearest, PARAMETERS.sharpness)
    labels, shares, _ = nearest(images, given["id_labels"], NEAREST_LABELS, LABEL_SHARPNESS)
    return Votes(np.zeros(len(images)), anchors, weights, cosines, LabelVotes(labels, shares))


def nearest(images: np.ndarray, vectors: np.ndarray, count: int, sharpness: float) -> tuple[np.ndarray, ...]:
    cosines = images.astype(np.float64) @ vectors.astype(np.float64).T
    places = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    closest = np.take_along_axis(cosines, places, axis=1)
    weights = np.exp(sharpness * (closest - closest[:, :1]))
    return places, weights / weights.sum(axis=1, keepdims=True), closest[:, 0]


def float32_votes(given: Vectors, images: np.ndarray) -> Votes:
    voting = Voting(given["anchors"], PARAMETERS, labels=given["id_labels"])
    return voting(torch.from_numpy(images), np.zeros(len(images)))


PRECISIONS = [
    pytest.param(exact_votes, 1e-9, 1e-9, id="float64"),
    pytest.param(float32_votes, 1e-5, 1e-4, id="float32"),
]
by_precision = pytest.mark.parametrize(("vote", "near", "near_score"), PRECISIONS)


def votes_and_terms(given: Vectors, vote, crowding: float = 0.0) -> tuple[Votes, Terms]:
    votes = replace(vote(given, given["embeddings"]), log_odds=given["base_log_odds"])
    labels, sums = len(given["id_labels"]), None
    if "reference" in given:
        sums = ReferenceSums.of(vote(given, given["reference"]), len(given["anchors"]), labels)
    return votes, Terms(sums, crowding, labels)


def equal(found, expected, within: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=within)


def base_of(given: Vectors, votes: Votes, terms: Terms) -> Base:
    return agreed(PARAMETERS, len(given["anchors"]), [votes], terms).base


@by_precision
def test_what_a_reference_says_is_what_the_vectors_say(vote, near, near_score):
    given = vectors("reference")
    votes, terms = votes_and_terms(given, vote)
    base = base_of(given, votes, terms)
    said = base.reference_term(votes)
    assert terms.reference is not None
    equal(base.votes, given["scan_votes"], near)
    equal(floating(terms.reference.anchors, BITS), given["reference_votes"], near)
    equal(floating(terms.reference.labels, BITS), given["reference_label_votes"], near)
    equal(said.evidence, given["evidence"], near)
    equal(said.coverage, given["coverage"], near)
    equal(said.term, given["reference_term"], near)
    equal(base.values(votes), given["base_with_reference"], near)


def consensus_of(given: Vectors, votes: Votes, terms: Terms) -> Agreement:
    return agreed(PARAMETERS, len(given["anchors"]), [votes], terms)


@by_precision
@pytest.mark.parametrize(
    ("name", "crowding", "column"),
    [("reference", 0.0, "score"), ("reference", CROWDING, "score_with_both"), ("crowding", CROWDING, "score")],
)
def test_consensus_takes_the_terms_in(vote, near, near_score, name, crowding, column):
    given = vectors(name)
    votes, terms = votes_and_terms(given, vote, crowding)
    found = consensus_of(given, votes, terms)
    equal(found.scores(votes).score, given[column], near_score)
    if column == "score":
        equal(found.scores(votes).weight, given["weight"], near_score)
        assert found.agreement == pytest.approx(float(given["agreement"]), abs=near_score)


@by_precision
def test_both_terms_are_taken_from_the_same_log_odds(vote, near, near_score):
    given = vectors("reference")
    votes, terms = votes_and_terms(given, vote, CROWDING)
    equal(base_of(given, votes, terms).values(votes), given["base_with_both"], near)


@by_precision
def test_crowding_is_that_of_the_vectors(vote, near, near_score):
    given = vectors("crowding")
    assert float(given["strength"]) == CROWDING
    votes, terms = votes_and_terms(given, vote, CROWDING)
    base = base_of(given, votes, terms)
    z = (votes.log_odds - votes.log_odds.mean()) / votes.log_odds.std()
    labels = base.label_sums
    assert votes.on_labels is not None
    np.testing.assert_array_equal(votes.on_labels.nearest, given["label"])
    np.testing.assert_array_equal(labels.counts, given["label_counts"])
    equal(floating(labels.sums, labels.bits), given["label_sums"], 1e-9)
    equal(labels.crowd(base.images)[given["label"]], given["crowd"], 1e-9)
    equal(labels.crowding(votes.on_labels, z, base.images), given["crowding"], 1e-9)
    equal(base.values(votes), given["base_with_crowding"], 1e-9)


def test_max_cos_and_consensus_over_it_are_those_of_the_vectors():
    given = vectors("reference")
    scorer = ImageScorer(bank({"id_text": given["id_labels"]}), {"max-cos": MaxCos()})
    found = scorer(torch.from_numpy(given["embeddings"])).scores["max-cos"]
    equal(found, given["max_cos"], 1e-6)
    votes = replace(float32_votes(given, given["embeddings"]), log_odds=100 * found)
    equal(agreed(PARAMETERS, len(given["anchors"]), [votes]).scores(votes).score, given["score_max_cos"], 1e-4)
