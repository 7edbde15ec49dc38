"""Agreement, trust and rounds against METHODS.md §10 written out, and what a scan in parts asks of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ood_core.consensus import Agreement, Smoothed, Votes, agreed
from ood_core.methods import Consensus
from tests.ood_core.consensus import naive
from tests.ood_core.consensus.naive import columns, drawn, part, same_sums, with_log_odds


@st.composite
def some_votes(draw, min_images: int = 1) -> tuple[Votes, int]:
    """Votes and the number of anchors; often some anchors have one voter or none."""
    anchor_count = draw(st.integers(1, 40))
    nearest = draw(st.integers(1, min(anchor_count, 12)))
    return drawn(draw(st.integers(0, 10**6)), draw(st.integers(min_images, 40)), anchor_count, nearest), anchor_count


some_parameters = st.builds(
    Consensus,
    caution=st.sampled_from([0.0, 0.25, 1.0]),
    reach=st.sampled_from([None, 3.0]),
    rounds=st.integers(1, 4),
)


def scored(votes: Votes, anchor_count: int, parameters: Consensus) -> Smoothed:
    return agreed(parameters, anchor_count, [votes]).scores(votes)


@pytest.mark.parametrize("reach", [None, 3.0])
@pytest.mark.parametrize("caution", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("rounds", [1, 2, 3, 4])
@pytest.mark.parametrize("nearest", [1, 2, 5])
@pytest.mark.parametrize("images", [2, 9, 120])
def test_a_score_is_that_of_the_method_written_out(images, nearest, rounds, caution, reach):
    votes, parameters = drawn(images, images, 30, nearest), Consensus(caution=caution, reach=reach, rounds=rounds)
    found = agreed(parameters, 30, [votes])
    agreement, weight, score = naive.consensus(votes, 30, parameters)
    assert images < 120 or agreement > 0.1
    assert found.agreement == pytest.approx(agreement, abs=1e-9)
    np.testing.assert_allclose(found.scores(votes).weight, weight, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.scores(votes).score, score, rtol=0, atol=1e-9)


@given(some_votes(), some_parameters)
@settings(max_examples=50)
def test_it_is_that_of_the_method_written_out_for_any_votes(given, parameters):
    votes, anchor_count = given
    found = agreed(parameters, anchor_count, [votes])
    agreement, weight, score = naive.consensus(votes, anchor_count, parameters)
    smoothed = found.scores(votes)
    assert found.agreement == pytest.approx(agreement, abs=1e-9)
    np.testing.assert_allclose(smoothed.weight, weight, rtol=0, atol=1e-9)
    np.testing.assert_allclose(smoothed.score, score, rtol=0, atol=1e-9)


def test_a_case_by_hand():
    # u = ±1. Each image's mean over its own anchor is its twin's; over the other pair's anchor nobody votes.
    votes = Votes(
        np.array([1.0, 1.0, 3.0, 3.0]), np.array([[0], [0], [1], [1]]), np.ones((4, 1)), np.full(4, 0.5, np.float32)
    )
    found = agreed(Consensus(reach=None, caution=1.0), 2, [votes])
    assert (found.images, found.mean, found.deviation, found.agreement) == (4, 2.0, 1.0, 1.0)
    assert found.votes.tolist() == [2.0, 2.0]
    assert found.scores(votes).weight.tolist() == [0.97] * 4
    np.testing.assert_allclose(found.scores(votes).score, [-1, -1, 1, 1], rtol=0, atol=1e-15)


def test_neighbours_who_say_the_opposite_agree_in_nothing():
    # Twins with opposite scores: m = -u.
    votes = Votes(np.array([1.0, 3.0]), np.zeros((2, 1), int), np.ones((2, 1)), np.ones(2))
    found = agreed(Consensus(), 1, [votes])
    assert found.agreement == 0.0
    assert found.scores(votes).score.tolist() == [-1.0, 1.0]
    assert found.scores(votes).shift.tolist() == [0.0, 0.0]


@given(some_votes(), some_parameters, st.randoms(use_true_random=False), st.lists(st.integers(0, 40), max_size=6))
@settings(max_examples=60)
def test_order_and_split_of_the_images_change_no_bit(given, parameters, random, cuts):
    votes, anchor_count = given
    order = np.array(random.sample(range(len(votes)), len(votes)))
    parts = np.split(order, sorted(min(cut, len(votes)) for cut in cuts))
    whole = agreed(parameters, anchor_count, [votes])
    in_parts = agreed(parameters, anchor_count, [part(votes, places) for places in parts])
    assert same_sums(in_parts, whole)
    assert in_parts.agreement == whole.agreement
    expected = columns(whole.scores(votes))
    for places in parts:
        np.testing.assert_array_equal(columns(in_parts.scores(part(votes, places))), expected[:, places])


@given(some_votes(), some_parameters)
@settings(max_examples=20)
def test_every_step_adds_up_from_single_images(given, parameters):
    votes, anchor_count = given
    singles = [part(votes, slice(place, place + 1)) for place in range(len(votes))]
    assert same_sums(agreed(parameters, anchor_count, singles), agreed(parameters, anchor_count, [votes]))


def test_sums_add_in_any_order():
    votes, step = drawn(0, 30, 9, 3), Agreement(Consensus(), 9)
    while not step.finished:
        a, b, c = (step.sums(part(votes, places)) for places in np.split(np.arange(30), [4, 15]))
        whole = step.sums(votes)
        for added in ((a + b) + c, a + (c + b), (c + a) + b):
            assert (added.totals, added.largest) == (whole.totals, whole.largest)
            np.testing.assert_array_equal(added.anchors, whole.anchors)
        step = step.after(whole)


@given(some_votes(), some_parameters, st.floats(-30, 30), st.sampled_from([0.01, 0.5, 3.0, 1000.0]))
@settings(max_examples=40)
def test_shifted_or_scaled_log_odds_give_the_same_score(given, parameters, shift, scale):
    votes, anchor_count = given
    moved = scored(with_log_odds(votes, votes.log_odds * scale + shift), anchor_count, parameters)
    np.testing.assert_allclose(columns(moved), columns(scored(votes, anchor_count, parameters)), rtol=1e-6, atol=1e-6)


@given(some_votes(), some_parameters, st.integers(0, 10))
@settings(max_examples=30)
def test_anchors_that_nobody_is_near_change_no_bit(given, parameters, before):
    votes, anchor_count = given
    renumbered = Votes(votes.log_odds, votes.anchors + np.int32(before), votes.weights, votes.cosines)
    np.testing.assert_array_equal(
        columns(scored(renumbered, before + anchor_count + 7, parameters)),
        columns(scored(votes, anchor_count, parameters)),
    )


@given(some_votes(), some_parameters)
@settings(max_examples=40)
def test_scores_stay_within_the_range_of_the_log_odds(given, parameters):
    votes, anchor_count = given
    found = scored(votes, anchor_count, parameters)
    u = (votes.log_odds - votes.log_odds.mean()) / (votes.log_odds.std() or 1.0)
    room = 1e-6 * np.abs(u).max()  # for float32 weights, which do not quite sum to 1
    assert (u.min() - room <= found.score).all()
    assert (found.score <= u.max() + room).all()
    assert ((found.weight >= 0) & (found.weight <= 0.97)).all()
    np.testing.assert_allclose(found.score - found.shift, u, rtol=0, atol=1e-9)


def test_a_score_moves_towards_that_of_its_neighbours():
    # One of ten images of a kind got a score like those of the other kind.
    log_odds = np.repeat([2.0, -2.0], 10)
    log_odds[0] = -2.0
    votes = Votes(log_odds, np.repeat([[0], [1]], 10, axis=0), np.ones((20, 1)), np.ones(20))
    found = scored(votes, 2, Consensus())
    assert found.shift[0] > 0.5
    assert np.argmax(np.abs(found.shift)) == 0


EDGES = {
    "one image": drawn(0, 1, 6, 3),
    "two images": drawn(1, 2, 6, 3),
    "all images equal": Votes(
        np.full(20, 3.0), np.tile([0, 1, 2], (20, 1)), np.full((20, 3), 1 / 3), np.full(20, 0.9, np.float32)
    ),
    "equal images with scores of their own": Votes(
        np.linspace(-36.7, 36.7, 20), np.tile([0, 1, 2], (20, 1)), np.full((20, 3), 1 / 3), np.full(20, 0.9)
    ),
    "all scores equal": with_log_odds(drawn(2, 20, 6, 3), np.full(20, 0.1)),
    "all scores 0": with_log_odds(drawn(2, 20, 6, 3), np.zeros(20)),
    "scores that differ in their last bit": with_log_odds(drawn(3, 20, 6, 3), 0.1 + np.arange(20) % 2 * 2.0**-56),
    "scores that differ by next to nothing": with_log_odds(drawn(3, 20, 6, 3), np.arange(20) % 2 * 1e-300),
    "one score far from the rest": with_log_odds(drawn(3, 20, 6, 3), np.eye(20)[0] * 1e9),
    "an anchor with one voter": Votes(
        np.arange(5.0), np.array([[0], [0], [0], [0], [1]]), np.ones((5, 1)), np.full(5, 0.9)
    ),
    "weights of 0": Votes(
        np.arange(6.0), np.tile([0, 1], (6, 1)), np.tile([1.0, 0.0], (6, 1)), np.linspace(0.1, 0.9, 6)
    ),
}


@pytest.mark.parametrize("parameters", [Consensus(), Consensus(reach=None), Consensus(caution=0.0)])
@pytest.mark.parametrize("edge", EDGES)
def test_at_the_edges_a_score_is_defined_and_finite(edge, parameters):
    votes = EDGES[edge]
    found = agreed(parameters, 6, [votes])
    assert 0 <= found.agreement <= 1
    assert np.isfinite(columns(found.scores(votes))).all()


@pytest.mark.parametrize("edge", ["one image", "all images equal", "all scores equal", "all scores 0"])
def test_where_all_scores_are_equal_none_moves(edge):
    found = scored(EDGES[edge], 6, Consensus())
    assert columns(found).tolist() == [[0.0] * len(EDGES[edge])] * 3


def test_an_image_alone_on_its_anchors_keeps_its_score():
    votes = EDGES["an anchor with one voter"]
    found = scored(votes, 6, Consensus(caution=0.0))
    assert found.score[4] == pytest.approx(np.sqrt(2), abs=1e-12)


@given(some_votes())
@settings(max_examples=20)
def test_there_are_three_steps_and_one_for_each_round(given):
    votes, anchor_count = given
    for rounds in (1, 4):
        found = agreed(Consensus(rounds=rounds), anchor_count, [votes])
        assert len(found.known) == found.steps == 3 + rounds
        assert found.finished
        assert not Agreement(found.parameters, anchor_count, found.known[:-1]).finished


def test_images_beside_empty_parts_are_as_without():
    votes = drawn(0, 30, 9, 3)
    empty = part(votes, slice(0, 0))
    assert same_sums(agreed(Consensus(), 9, [empty, votes, empty]), agreed(Consensus(), 9, [votes]))
    assert agreed(Consensus(), 9, [empty]).scores(empty).score.shape == (0,)
