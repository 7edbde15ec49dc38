"""Whom to ask, against METHODS.md §10d written out."""

from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ood_core.consensus import Agreement, VerdictSums, Votes, agreed
from ood_core.consensus.base import Terms
from ood_core.consensus.dataset import Neighbourhood, questions
from ood_core.consensus.questions import Candidates, Worth, chosen
from ood_core.methods import Consensus
from tests.ood_core.conftest import unit_rows
from tests.ood_core.consensus import naive
from tests.ood_core.consensus.naive import drawn, part

IMAGES = 240


@st.composite
def some_votes(draw) -> tuple[Votes, int]:
    """Votes, and how many anchors there are; often some of these have no image."""
    anchor_count = draw(st.integers(1, 20))
    nearest = draw(st.integers(1, min(anchor_count, 5)))
    return drawn(draw(st.integers(0, 10**6)), draw(st.integers(1, 30)), anchor_count, nearest), anchor_count


def settled(votes: Votes, anchor_count: int, terms: Terms | None = None) -> tuple[Agreement, Worth]:
    found = agreed(Consensus(), anchor_count, [votes], terms or Terms())
    return found, Worth.of(found, found.sums_of_scores(votes))


def places_of(images: np.ndarray) -> np.ndarray:
    """The places of images in a scan of shards with seven each."""
    return np.stack([images // 7, images % 7], axis=1)


@given(some_votes(), st.booleans())
@settings(max_examples=40)
def test_what_an_answer_is_worth_is_that_of_the_method_written_out(given, with_some):
    votes, anchor_count = given
    verdicts = VerdictSums.of(part(votes, slice(0, 3)), np.zeros(min(len(votes), 3)), unit_rows(anchor_count, 8))
    found, worth = settled(votes, anchor_count, Terms(verdicts=verdicts, reach=3.0) if with_some else None)
    total, expected = naive.worth(votes, found.scores(votes).score, anchor_count)
    np.testing.assert_allclose(worth.votes, total, rtol=0, atol=1e-9)
    np.testing.assert_allclose(worth.worth, expected, rtol=0, atol=1e-9)
    assert np.isnan(worth.mean).tolist() == (total == 0).tolist()
    order = worth.order()
    assert sorted(order.tolist()) == np.flatnonzero(total).tolist()
    falling = expected[np.argsort(-expected, kind="stable")][: len(order)]
    np.testing.assert_allclose(expected[order], falling, rtol=0, atol=1e-9)


@given(some_votes(), st.sets(st.integers(0, 29)), st.integers(0, 40))
@settings(max_examples=40)
def test_the_images_to_ask_about_are_those_of_the_method_written_out(given, before, count):
    votes, anchor_count = given
    _, worth = settled(votes, anchor_count)
    asked = {image for image in before if image < len(votes)}
    order, places = worth.order(), places_of(np.arange(len(votes)))
    candidates = Candidates.of(votes, places, order, count + len(asked))
    found = chosen(candidates, order, {(image // 7, image % 7) for image in asked}, count)
    images = [shard * 7 + index for _, (shard, index) in found]
    expected = naive.asked_about(votes, order.tolist(), asked, count)
    assert list(zip([anchor for anchor, _ in found], images, strict=True)) == expected
    assert len(images) == len(set(images)) == min(count, len(votes) - len(asked))
    assert asked.isdisjoint(images)


@given(some_votes(), st.integers(0, 40))
@settings(max_examples=30)
def test_no_anchor_has_two_images_while_another_that_could_have_one_has_none(given, count):
    votes, anchor_count = given
    _, worth = settled(votes, anchor_count)
    order = worth.order()
    found = chosen(Candidates.of(votes, places_of(np.arange(len(votes))), order, count), order, set(), count)
    taken, had = set[int](), set[int]()
    for anchor, (shard, index) in found:
        free = [image for image in range(len(votes)) if image not in taken]
        if anchor in had:
            without = set(order.tolist()) - had
            assert not [image for image in free if without & set(votes.anchors[image].tolist())]
        had.add(anchor)
        taken.add(shard * 7 + index)


@given(some_votes(), st.randoms(use_true_random=False), st.integers(1, 5), st.integers(1, 12))
@settings(max_examples=25)
def test_order_and_split_of_the_images_change_nothing(given, random, pieces, count):
    votes, anchor_count = given
    found, worth = settled(votes, anchor_count)
    rows = np.array(random.sample(range(len(votes)), len(votes)), int)
    parts = np.array_split(rows, pieces)
    of_parts = Worth.of(found, reduce(add, (found.sums_of_scores(part(votes, some)) for some in parts)))
    for name, values in vars(worth).items():
        np.testing.assert_array_equal(getattr(of_parts, name), values)
    order = worth.order()
    whole = Candidates.of(votes, places_of(np.arange(len(votes))), order, count)
    each = [Candidates.of(part(votes, some), places_of(some), order, count) for some in parts]
    assert chosen(reduce(add, each).first(count), order, set(), count) == chosen(whole, order, set(), count)


def test_more_questions_begin_with_the_fewer():
    votes = drawn(5, 60, 12, 4)
    _, worth = settled(votes, 12)
    order = worth.order()
    few, many = (
        chosen(Candidates.of(votes, places_of(np.arange(60)), order, count), order, set(), count) for count in (5, 40)
    )
    assert many[:5] == few


def test_of_equal_worth_the_lower_anchor_comes_first_and_of_equal_weights_the_first_image():
    places = np.tile([2, 0, 1], 4)
    votes = Votes(np.zeros(12), places[:, None], np.ones((12, 1)), np.ones(12))
    _, worth = settled(votes, 4)
    assert worth.worth.tolist() == [1.0, 1.0, 1.0, 0.0]
    order = worth.order()
    assert order.tolist() == [0, 1, 2], "of the anchor without images nobody is asked"
    backwards = np.arange(12)[::-1]
    candidates = Candidates.of(part(votes, backwards), places_of(backwards), order, 12)
    assert chosen(candidates, order, set(), 5) == [(0, (0, 1)), (1, (0, 2)), (2, (0, 0)), (0, (0, 4)), (1, (0, 5))]


def test_anchors_in_whose_midst_somebody_was_asked_come_last():
    votes = drawn(6, 80, 10, 3)
    _, worth = settled(votes, 10)
    first = worth.order()
    assert worth.order({int(first[0]), int(first[2])}).tolist() == [*first[[1]], *first[3:], *first[[0, 2]]]


def test_what_is_large_and_undecided_is_asked_about_first():
    # Four kinds: a large one that scores high, one as large at the border, and two small ones, the last far below.
    kinds = np.repeat([0, 1, 2, 3], [100, 100, 20, 20])
    log_odds = np.array([2.0, -0.5, 0.0, -4.0])[kinds]
    votes = Votes(log_odds, kinds[:, None], np.ones((240, 1)), np.ones(240))
    _, worth = settled(votes, 4)
    assert worth.order().tolist()[0] == 1
    assert worth.belongs[0] > 0.95
    assert worth.belongs[3] < 0.2


def test_a_score_far_from_all_others_is_no_overflow():
    images = np.arange(100_000)
    log_odds = np.where(images == 0, -1e6, 0.0)
    anchors = np.where(images == 0, 0, 1 + images % 9)
    votes = Votes(log_odds, anchors[:, None], np.ones((len(images), 1)), np.ones(len(images)))
    _, worth = settled(votes, 10)
    assert worth.mean[0] < -300
    assert worth.belongs[0] == pytest.approx(0.0, abs=1e-12)


@pytest.fixture(scope="module")
def among() -> Neighbourhood:
    rows = np.repeat(unit_rows(12, 32, 1), IMAGES // 12, axis=0) + 0.5 * unit_rows(IMAGES, 32, 2)
    embeddings = torch.from_numpy((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    return Neighbourhood.of(embeddings, [f"row {row:03d}" for row in range(IMAGES)], Consensus())


LOG_ODDS = np.random.default_rng(8).normal(size=IMAGES) + np.repeat(np.random.default_rng(9).normal(size=12), 20)


def test_of_a_dataset_no_image_is_asked_about_twice_and_each_once_before_it_ends(among):
    asked = set[int]()
    for count in (10, 40, 100, 500):
        found = questions(among, LOG_ODDS, Consensus(), count, asked).tolist()
        assert len(set(found)) == len(found) == min(count, IMAGES - len(asked))
        assert asked.isdisjoint(found)
        asked |= set(found)
    assert asked == set(range(IMAGES))
    assert questions(among, LOG_ODDS, Consensus(), 5, asked).tolist() == []


def test_of_a_dataset_they_are_those_of_the_method_written_out(among):
    votes = among.with_log_odds(LOG_ODDS)
    _, _, y = naive.consensus(votes, among.anchor_count, Consensus())
    _, worth = naive.worth(votes, y, among.anchor_count)
    order = np.argsort(-worth, kind="stable").tolist()
    expected = [image for _, image in naive.asked_about(votes, order, set(), 50)]
    assert questions(among, LOG_ODDS, Consensus(), 50).tolist() == expected


def test_after_verdicts_questions_go_by_what_was_said(among):
    first = questions(among, LOG_ODDS, Consensus(), 10)
    told = among.told(first, np.zeros(10))
    then = questions(told, LOG_ODDS, Consensus(), 10, set(first.tolist())).tolist()
    assert then != questions(among, LOG_ODDS, Consensus(), 10, set(first.tolist())).tolist()
    assert questions(told, LOG_ODDS, Consensus(verdicts=False), 10).tolist() == first.tolist()
    nearest = among.votes.anchors[:, 0]
    asked, free = set(nearest[first].tolist()), len(set(nearest.tolist()) - set(nearest[first].tolist()))
    assert asked.isdisjoint(nearest[then[: min(free, 5)]].tolist())
