"""Whom to ask and what follows, with given anchors, against a float64 evaluation of METHODS.md §10d, and as images vote
in float32."""

from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
import pytest

from ood_core.consensus import Agreement, Terms, VerdictSums, Votes, agreed
from ood_core.consensus.exact import floating
from ood_core.consensus.questions import Candidates, Worth, chosen
from ood_core.consensus.verdicts import BITS, STRENGTH
from tests.conformance.given import Vectors, vectors
from tests.conformance.test_reference import PARAMETERS, by_precision, equal


def given_votes(given: Vectors, vote) -> Votes:
    return replace(vote(given, given["embeddings"]), log_odds=given["base_log_odds"])


def with_verdicts(given: Vectors, votes: Votes) -> tuple[VerdictSums, Agreement]:
    asked = given["asked"]
    of_asked = Votes(np.zeros(len(asked)), votes.anchors[asked], votes.weights[asked], votes.cosines[asked])
    sums = VerdictSums.of(of_asked, given["belongs"], given["anchors"])
    terms = Terms(verdicts=sums, reach=PARAMETERS.reach)
    return sums, agreed(PARAMETERS, len(given["anchors"]), [votes], terms)


@pytest.fixture(scope="module")
def given() -> Vectors:
    return {**vectors("verdicts"), "id_labels": vectors("reference")["id_labels"]}


@by_precision
def test_the_images_to_ask_about_are_those_of_the_vectors(given, vote, near, near_score):
    votes = given_votes(given, vote)
    found = agreed(PARAMETERS, len(given["anchors"]), [votes])
    worth = Worth.of(found, found.sums_of_scores(votes))
    equal(worth.votes, given["votes_on_anchors"], near)
    equal(worth.mean, given["anchor_mean"], near_score)
    equal(worth.worth, given["value"], near_score)
    order, places = worth.order(), np.stack([np.zeros(len(votes), int), np.arange(len(votes))], axis=1)
    candidates = Candidates.of(votes, places, order, len(votes))
    asked = chosen(candidates, order, set(), len(given["asked"]))
    assert [row for _, (_, row) in asked] == given["asked"].tolist()


@by_precision
def test_what_follows_from_verdicts_is_that_of_the_vectors(given, vote, near, near_score):
    votes = given_votes(given, vote)
    sums, found = with_verdicts(given, votes)
    equal(floating(sums.beliefs, BITS), given["verdict_sum"], near)
    equal(floating(sums.weights, BITS), given["verdict_weight"], near)
    equal(found.base.verdict(votes), given["verdict"], near_score)
    equal(found.base.values(votes), given["base_with_verdicts"], near_score)
    equal(found.scores(votes).score, given["score"], near_score)


def test_verdicts_one_by_one_come_to_the_same_bits(given):
    votes = given_votes(given, by_precision.args[1][0].values[0])
    whole, _ = with_verdicts(given, votes)
    parts = [
        VerdictSums.of(
            Votes(np.zeros(1), votes.anchors[[row]], votes.weights[[row]], votes.cosines[[row]]),
            given["belongs"][[number]],
            given["anchors"],
        )
        for number, row in enumerate(given["asked"].tolist())
    ]
    together = reduce(add, reversed(parts))
    assert (together.beliefs == whole.beliefs).all()
    assert (together.weights == whole.weights).all()
    assert STRENGTH == 2
