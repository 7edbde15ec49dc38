"""What verdicts add to a base, against METHODS.md §10d written out."""

from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ood_core.consensus import Base, ReferenceSums, Terms, VerdictSums, Votes, agreed
from ood_core.consensus.dataset import Neighbourhood, consensus_of_neighbours, with_verdicts
from ood_core.consensus.verdicts import MOST_VERDICTS, PRIOR
from ood_core.methods import Consensus
from tests.ood_core.conftest import unit_rows
from tests.ood_core.consensus import naive
from tests.ood_core.consensus.naive import columns, drawn, part, same_sums, standard, with_labels, with_log_odds

LABELS = 7
REACHES = st.sampled_from([None, 3.0])


@st.composite
def a_scan_and_verdicts(draw, most_verdicts: int = 20) -> tuple[Votes, Votes, np.ndarray, np.ndarray]:
    """The votes of a scan and of images that something was said of, what was said, and the anchors."""
    anchor_count, nearest = draw(st.integers(1, 14)), draw(st.integers(1, 5))
    seed, images, verdicts = draw(st.integers(0, 10**6)), draw(st.integers(1, 30)), draw(st.integers(1, most_verdicts))
    scan = with_labels(drawn(seed, images, anchor_count, min(nearest, anchor_count)), LABELS, seed)
    asked = drawn(seed + 1, verdicts, anchor_count, min(nearest, anchor_count))
    belongs = np.array(draw(st.lists(st.sampled_from([0.0, 0.2, 0.5, 1.0]), min_size=verdicts, max_size=verdicts)))
    return scan, asked, belongs, unit_rows(anchor_count, draw(st.sampled_from([2, 8])), seed)


def base_of(votes: Votes, terms: Terms, anchor_count: int) -> Base:
    found = Base(anchor_count, terms)
    while not found.finished:
        found = found.after(found.sums(votes))
    return found


def said(votes: Votes, asked: Votes, belongs: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """d without regard to reach."""
    sums = VerdictSums.of(asked, belongs, anchors)
    return base_of(votes, Terms(verdicts=sums), len(anchors)).verdict(votes)


def same(one: VerdictSums, other: VerdictSums) -> bool:
    """To the bit."""
    return one.count == other.count and (one.weights == other.weights).all() and (one.beliefs == other.beliefs).all()


@given(a_scan_and_verdicts(), REACHES)
@settings(max_examples=15)
def test_verdicts_are_those_of_the_method_written_out(given, reach):
    votes, asked, belongs, anchors = given
    terms = Terms(verdicts=VerdictSums.of(asked, belongs, anchors), reach=reach)
    base, d = base_of(votes, terms, len(anchors)), naive.verdicts(votes, asked, belongs, anchors, reach)
    np.testing.assert_allclose(base.verdict(votes), d, rtol=0, atol=1e-9)
    np.testing.assert_allclose(base.values(votes), standard(votes.log_odds) + 2 * d, rtol=0, atol=1e-9)
    assert np.abs(base.verdict(votes)).max() < 1
    assert base.moved == ((d > 0.25).sum(), (d < -0.25).sum())


@given(a_scan_and_verdicts(), REACHES, st.sampled_from([1, 4]))
@settings(max_examples=20)
def test_consensus_goes_by_the_base_with_verdicts(given, reach, rounds):
    votes, asked, belongs, anchors = given
    parameters = Consensus(reach=reach, rounds=rounds)
    found = agreed(
        parameters, len(anchors), [votes], Terms(verdicts=VerdictSums.of(asked, belongs, anchors), reach=reach)
    )
    d = naive.verdicts(votes, asked, belongs, anchors, reach)
    moved = with_log_odds(votes, standard(votes.log_odds) + 2 * d)
    _, _, score = naive.consensus(moved, len(anchors), parameters)
    np.testing.assert_allclose(found.scores(votes).score, score, rtol=0, atol=1e-9)


@given(a_scan_and_verdicts(), REACHES, st.integers(0, 20), st.sampled_from([0.0, 0.15]))
@settings(max_examples=15)
def test_a_reference_verdicts_and_crowding_are_added_to_one_z(given, reach, references, crowding):
    votes, asked, belongs, anchors = given
    others = with_labels(drawn(99, references, len(anchors), votes.anchors.shape[1]), LABELS, 99)
    sums = ReferenceSums.of(others, len(anchors), LABELS)
    terms = Terms(sums, crowding, LABELS, VerdictSums.of(asked, belongs, anchors), reach)
    _, _, lowered = naive.reference(votes, others, len(anchors), LABELS)
    expected = standard(votes.log_odds) + lowered + 2 * naive.verdicts(votes, asked, belongs, anchors, reach)
    expected -= crowding * naive.crowding(votes, LABELS)
    found = agreed(Consensus(reach=reach), len(anchors), [votes], terms)
    np.testing.assert_allclose(found.base.values(votes), expected, rtol=0, atol=1e-9)
    _, _, score = naive.consensus(with_log_odds(votes, expected), len(anchors), Consensus(reach=reach))
    np.testing.assert_allclose(found.scores(votes).score, score, rtol=0, atol=1e-9)


@given(a_scan_and_verdicts(), st.booleans(), REACHES, st.randoms(use_true_random=False), st.integers(1, 6))
@settings(max_examples=20)
def test_order_and_split_of_scan_and_verdicts_change_no_bit(given, with_more, reach, random, pieces):
    votes, asked, belongs, anchors = given

    def parts(count: int) -> list[np.ndarray]:
        return np.array_split(np.array(random.sample(range(count), count), int), pieces)

    whole = VerdictSums.of(asked, belongs, anchors)
    of_parts = [VerdictSums.of(part(asked, some), belongs[some], anchors) for some in parts(len(asked))]
    assert same(reduce(add, of_parts), whole)
    terms = Terms(verdicts=whole, reach=reach)
    if with_more:
        terms = Terms(ReferenceSums.of(votes, len(anchors), LABELS), 0.15, LABELS, whole, reach)
    in_parts = agreed(Consensus(), len(anchors), [part(votes, some) for some in parts(len(votes))], terms)
    at_once = agreed(Consensus(), len(anchors), [votes], terms)
    assert same_sums(in_parts, at_once)
    np.testing.assert_array_equal(columns(in_parts.scores(votes)), columns(at_once.scores(votes)))
    for some in parts(len(votes)):
        np.testing.assert_array_equal(in_parts.base.verdict(part(votes, some)), at_once.base.verdict(votes)[some])


def test_a_verdict_says_the_same_beside_any_others_on_more_anchors_than_are_compared_at_once():
    anchors, asked = unit_rows(4100, 128), drawn(0, 19, 4100, 5)
    belongs = np.random.default_rng(1).random(19)
    alone = [VerdictSums.of(part(asked, slice(row, row + 1)), belongs[[row]], anchors) for row in range(19)]
    assert same(reduce(add, reversed(alone)), VerdictSums.of(asked, belongs, anchors))


@given(a_scan_and_verdicts(10))
@settings(max_examples=15)
def test_a_verdict_that_is_repeated_counts_as_two(given):
    _, asked, belongs, anchors = given
    once = VerdictSums.of(asked, belongs, anchors)
    twice = VerdictSums.of(part(asked, np.arange(len(asked)).repeat(2)), belongs.repeat(2), anchors)
    assert same(twice, once + once)
    assert (twice.weights == 2 * once.weights).all()
    assert (twice.beliefs == 2 * once.beliefs).all()


@given(a_scan_and_verdicts())
@settings(max_examples=15)
def test_undecided_verdicts_move_nothing_and_weigh_as_much_as_others(given):
    votes, asked, belongs, anchors = given
    undecided = VerdictSums.of(asked, np.full(len(asked), 0.5), anchors)
    decided = VerdictSums.of(asked, belongs, anchors)
    assert (undecided.weights == decided.weights).all()
    assert not undecided.beliefs.any()
    assert not said(votes, asked, np.full(len(asked), 0.5), anchors).any()
    both = decided + undecided
    assert (both.beliefs == decided.beliefs).all()
    assert (np.abs(both.means) <= np.abs(decided.means)).all()


@given(a_scan_and_verdicts())
@settings(max_examples=15)
def test_yes_raises_no_lowers_by_the_same(given):
    votes, asked, _, anchors = given
    yes, no = (said(votes, asked, np.full(len(asked), b), anchors) for b in (1.0, 0.0))
    assert ((yes >= 0) & (yes < 1)).all()
    assert (no == -yes).all()


@given(a_scan_and_verdicts(), REACHES)
@settings(max_examples=15)
def test_no_verdicts_change_nothing_but_that_the_base_is_standardised_twice(given, reach):
    votes, asked, belongs, anchors = given
    none = VerdictSums.of(part(asked, slice(0, 0)), belongs[:0], anchors)
    assert (none.count, none.weights.any(), none.beliefs.any(), none.means.any()) == (0, False, False, False)
    parameters = Consensus(reach=reach)
    without = agreed(parameters, len(anchors), [votes])
    with_none = agreed(parameters, len(anchors), [votes], Terms(verdicts=none, reach=reach))
    np.testing.assert_array_equal(with_none.base.values(votes), without.base.standard(votes))
    np.testing.assert_allclose(columns(with_none.scores(votes)), columns(without.scores(votes)), rtol=0, atol=1e-9)
    assert with_none.base.moved == (0, 0)


@pytest.mark.parametrize("images", [1, 2, 50])
@pytest.mark.parametrize("verdicts", [0, 1, 40])
@pytest.mark.parametrize("anchor_count", [1, 12])
@pytest.mark.parametrize("reach", [None, 3.0])
def test_few_images_few_anchors_and_few_verdicts_are_defined(images, verdicts, anchor_count, reach):
    votes, asked = (
        drawn(seed, size, anchor_count, min(4, anchor_count)) for seed, size in ((4, images), (5, verdicts))
    )
    sums = VerdictSums.of(asked, np.ones(verdicts), unit_rows(anchor_count, 8))
    found = agreed(Consensus(reach=reach), anchor_count, [votes], Terms(verdicts=sums, reach=reach))
    assert np.isfinite(columns(found.scores(votes))).all()
    assert np.isfinite(found.base.values(votes)).all()


def test_one_verdict_on_its_own_anchor_is_believed_by_the_prior_and_fades_with_the_cosine():
    anchors = np.array([[1, 0], [0.8, 0.6], [-1, 0]], np.float32)
    asked, votes = on_anchors([0]), on_anchors([0, 1, 2])
    d = said(votes, asked, np.zeros(1), anchors)
    fades = np.exp(20 * (anchors[:, 0].astype(np.float64) - 1))
    np.testing.assert_allclose(d, -fades / (fades + 0.3), rtol=0, atol=1e-9)
    assert d[0] == pytest.approx(-1 / 1.3)
    assert d[1] == pytest.approx(-0.0575, abs=1e-3)
    assert PRIOR == 0.3


def test_verdicts_raise_no_stray_but_lower_it():
    cosines = np.r_[np.random.default_rng(0).normal(0.9, 0.01, 200), 0.5]
    votes = replace(on_anchors([0] * 201), cosines=cosines)
    for belongs, stray in ((1.0, 0.0), (0.0, -1 / 1.3)):
        sums = VerdictSums.of(on_anchors([0]), np.full(1, belongs), unit_rows(1, 4))
        d = base_of(votes, Terms(verdicts=sums, reach=3.0), 1).verdict(votes)
        assert d[-1] == pytest.approx(stray, abs=1e-6)
        assert np.abs(d[:-1]).mean() > 0.6
        assert said(votes, on_anchors([0]), np.full(1, belongs), unit_rows(1, 4))[-1] == pytest.approx(
            (2 * belongs - 1) / 1.3, abs=1e-6
        )


def test_the_steps_are_named_by_what_is_added():
    sums = VerdictSums.of(on_anchors([0]), np.ones(1), unit_rows(1, 4))
    assert Terms(verdicts=sums).steps == ("log_odds", "deviations", "terms")
    assert Terms(verdicts=sums, reach=3.0).steps == ("log_odds", "deviations", "spreads", "terms")
    assert Terms(None, 0.1, 3, sums, 3.0).steps == ("log_odds", "deviations", "spreads", "labels", "terms")
    assert Terms(reach=3.0).steps == ("log_odds", "deviations")


def test_more_verdicts_than_their_sums_have_room_for_are_refused():
    sums = VerdictSums.of(on_anchors([0]), np.ones(1), unit_rows(1, 4))
    with pytest.raises(ValueError, match=f"{MOST_VERDICTS + 1} verdicts are more than the {MOST_VERDICTS}"):
        _ = replace(sums, count=MOST_VERDICTS) + sums


def test_what_verdicts_say_is_asked_for_where_there_are_none():
    votes = drawn(0, 10, 5, 3)
    with pytest.raises(ValueError, match="there are no verdicts"):
        base_of(votes, Terms(), 5).verdict(votes)


KINDS, OF_A_KIND = 12, 40


def in_kinds(seed: int) -> tuple[torch.Tensor, list[str], np.ndarray, np.ndarray]:
    """Embeddings of twelve kinds of which three do not belong, keys, log-odds that prefer these, and who belongs."""
    rows = np.repeat(unit_rows(KINDS, 32, seed), OF_A_KIND, axis=0) + 0.5 * unit_rows(KINDS * OF_A_KIND, 32, seed + 1)
    embeddings = torch.from_numpy((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    belongs = np.repeat(np.arange(KINDS) >= 3, OF_A_KIND)
    log_odds = np.random.default_rng(seed).normal(size=len(rows)) - belongs
    return embeddings, [f"row {row}" for row in range(len(rows))], log_odds, belongs


@pytest.mark.parametrize("reach", [None, 3.0])
def test_of_a_dataset_verdicts_move_the_base_alone_and_consensus(reach):
    embeddings, keys, log_odds, belongs = in_kinds(3)
    among, rows = Neighbourhood.of(embeddings, keys, Consensus(reach=reach)), np.arange(0, len(keys), 7)
    told = among.told(rows, belongs[rows].astype(float))
    assert told.verdicts
    assert told.verdicts.count == len(rows)
    votes = told.with_log_odds(log_odds)
    d = naive.verdicts(votes, part(votes, rows), belongs[rows], told.anchors, reach)
    np.testing.assert_allclose(with_verdicts(told, log_odds), standard(log_odds) + 2 * d, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(with_verdicts(among, log_odds), standard_of(among, log_odds))
    parameters = Consensus(reach=reach)
    moved = with_log_odds(votes, standard(log_odds) + 2 * d)
    _, _, score = naive.consensus(moved, told.anchor_count, parameters)
    np.testing.assert_allclose(consensus_of_neighbours(told, log_odds, parameters).score, score, rtol=0, atol=1e-9)
    ignored = consensus_of_neighbours(told, log_odds, replace(parameters, verdicts=False))
    np.testing.assert_array_equal(ignored.score, consensus_of_neighbours(among, log_odds, parameters).score)


def test_verdicts_on_a_few_turn_round_a_base_that_prefers_what_does_not_belong():
    embeddings, keys, log_odds, belongs = in_kinds(4)
    rows = np.arange(0, len(keys), OF_A_KIND // 2)
    among = Neighbourhood.of(embeddings, keys, Consensus())
    told = among.told(rows, belongs[rows].astype(float))
    before, after = (consensus_of_neighbours(some, log_odds, Consensus()).score for some in (among, told))
    assert before[belongs].mean() < before[~belongs].mean()
    assert np.mean(after[belongs] > np.quantile(after[~belongs], 0.95)) > 0.9


def standard_of(among: Neighbourhood, log_odds: np.ndarray) -> np.ndarray:
    votes = among.with_log_odds(log_odds)
    return base_of(votes, Terms(), among.anchor_count).standard(votes)


def on_anchors(anchors: list[int]) -> Votes:
    """Images that vote on one anchor each."""
    ones = np.ones((len(anchors), 1))
    return Votes(np.zeros(len(anchors)), np.array(anchors)[:, None], ones, np.ones(len(anchors)))
