"""What a reference and crowding add to a base, against METHODS.md §10b and §10c written out."""

from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ood_core.consensus import Base, ReferenceSums, Terms, Votes, agreed
from ood_core.consensus.reference import MOST_IMAGES
from ood_core.methods import Consensus
from tests.ood_core.consensus import naive
from tests.ood_core.consensus.naive import columns, drawn, part, same_sums, standard, with_labels, with_log_odds

ANCHORS, LABELS = 12, 7


def votes_of(seed: int, images: int, anchor_count: int = ANCHORS, label_count: int = LABELS) -> Votes:
    nearest = min(4, anchor_count)
    return with_labels(drawn(seed, images, anchor_count, nearest), label_count, seed)


def sums_of(votes: Votes, anchor_count: int = ANCHORS, label_count: int = LABELS) -> ReferenceSums:
    return ReferenceSums.of(votes, anchor_count, label_count)


def base_of(votes: Votes, terms: Terms, anchor_count: int = ANCHORS) -> Base:
    found = Base(anchor_count, terms)
    while not found.finished:
        found = found.after(found.sums(votes))
    return found


@st.composite
def a_scan_and_a_reference(draw) -> tuple[Votes, Votes, int, int]:
    """Votes of both, and how many anchors and labels there are."""
    anchor_count, label_count = draw(st.integers(1, 20)), draw(st.integers(1, 9))
    sizes = draw(st.tuples(st.integers(1, 30), st.integers(0, 30)))
    seed = draw(st.integers(0, 10**6))
    scan, reference = (votes_of(seed + place, size, anchor_count, label_count) for place, size in enumerate(sizes))
    return scan, reference, anchor_count, label_count


@given(a_scan_and_a_reference(), st.sampled_from([0.0, 0.15, 2.0]))
@settings(max_examples=80)
def test_the_terms_are_those_of_the_method_written_out(drawn_votes, crowding):
    votes, reference, anchor_count, label_count = drawn_votes
    base = base_of(votes, Terms(sums_of(reference, anchor_count, label_count), crowding, label_count), anchor_count)
    evidence, coverage, term = naive.reference(votes, reference, anchor_count, label_count)
    said = base.reference_term(votes)
    np.testing.assert_allclose(said.evidence, evidence, rtol=0, atol=1e-9)
    np.testing.assert_allclose(said.coverage, coverage, rtol=0, atol=1e-9)
    np.testing.assert_allclose(said.term, term, rtol=0, atol=1e-9)
    expected = standard(votes.log_odds) + term - crowding * naive.crowding(votes, label_count)
    np.testing.assert_allclose(base.values(votes), expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(base.standard(votes), standard(expected), rtol=0, atol=1e-7)
    assert np.abs(base.standard(votes)).max() <= base.furthest * (1 + 1e-12)


@given(a_scan_and_a_reference(), st.sampled_from([0.0, 0.15]), st.randoms(use_true_random=False), st.integers(1, 6))
@settings(max_examples=40)
def test_order_and_split_of_scan_and_reference_change_no_bit(drawn_votes, crowding, random, pieces):
    votes, reference, anchor_count, label_count = drawn_votes

    def parts(some: Votes) -> list[Votes]:
        order = np.array(random.sample(range(len(some)), len(some)), int)
        return [part(some, places) for places in np.array_split(order, pieces)]

    sums = reduce(add, (sums_of(some, anchor_count, label_count) for some in parts(reference)))
    whole = sums_of(reference, anchor_count, label_count)
    for name, values in vars(sums).items():
        np.testing.assert_array_equal(values, getattr(whole, name))
    terms = Terms(sums, crowding, label_count)
    in_parts = agreed(Consensus(), anchor_count, parts(votes), terms)
    at_once = agreed(Consensus(), anchor_count, [votes], terms)
    assert same_sums(in_parts, at_once)
    np.testing.assert_array_equal(columns(in_parts.scores(votes)), columns(at_once.scores(votes)))


@given(a_scan_and_a_reference(), st.floats(-30, 30), st.sampled_from([0.01, 0.5, 3.0, 1000.0]))
@settings(max_examples=40)
def test_shifted_or_scaled_log_odds_give_the_same_values(drawn_votes, shift, scale):
    votes, reference, anchor_count, label_count = drawn_votes
    terms = Terms(sums_of(reference, anchor_count, label_count), 0.15, label_count)
    moved = with_log_odds(votes, votes.log_odds * scale + shift)
    found, expected = (base_of(some, terms, anchor_count).values(some) for some in (moved, votes))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@given(a_scan_and_a_reference())
@settings(max_examples=40)
def test_a_reference_takes_one_standard_deviation_at_most_and_gives_nothing(drawn_votes):
    votes, reference, anchor_count, label_count = drawn_votes
    said = base_of(votes, Terms(sums_of(reference, anchor_count, label_count), 0.0, label_count), anchor_count)
    term = said.reference_term(votes)
    assert ((term.term >= -1) & (term.term <= 0)).all()
    assert ((term.coverage >= 0) & (term.coverage <= 1)).all()


def test_an_empty_reference_changes_nothing_but_that_the_base_is_standardised_twice():
    votes = votes_of(0, 40)
    with_none = agreed(Consensus(), ANCHORS, [votes], Terms(sums_of(part(votes, slice(0, 0))), 0.0, LABELS))
    without = agreed(Consensus(), ANCHORS, [votes])
    assert with_none.base.reference_term(votes).term.tolist() == [0.0] * 40
    np.testing.assert_allclose(columns(with_none.scores(votes)), columns(without.scores(votes)), rtol=0, atol=1e-9)


def test_a_reference_that_is_the_scan_takes_next_to_nothing():
    votes = votes_of(1, 400)
    said = base_of(votes, Terms(sums_of(votes), 0.0, LABELS)).reference_term(votes)
    assert said.evidence.min() > -1e-2
    assert np.abs(said.term).max() < 1e-2


def test_every_image_twice_over_in_the_reference_weighs_twice_as_much():
    votes, reference = votes_of(2, 60), votes_of(3, 25)
    twice = sums_of(reference) + sums_of(reference)
    assert (twice.images, twice.anchors.tolist()) == (50, (2 * sums_of(reference).anchors).tolist())
    once, doubled = (base_of(votes, Terms(sums, 0.0, LABELS)) for sums in (sums_of(reference), twice))
    np.testing.assert_allclose(
        doubled.reference_term(votes).coverage, once.reference_term(votes).coverage, rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("images", [1, 2, 50])
@pytest.mark.parametrize("others", [0, 1, 30])
@pytest.mark.parametrize("label_count", [1, 7])
def test_few_images_and_all_on_one_anchor_are_defined(images, others, label_count):
    votes, reference = (votes_of(seed, size, 1, label_count) for seed, size in ((4, images), (5, others)))
    terms = Terms(sums_of(reference, 1, label_count), 0.15, label_count)
    found = agreed(Consensus(), 1, [votes], terms)
    assert np.isfinite(columns(found.scores(votes))).all()
    assert np.isfinite(found.base.values(votes)).all()


def test_images_unlike_the_reference_fall_and_those_of_labels_that_it_lacks_do_not():
    # Two kinds of the label 0, of which the reference has the first; one kind of label 1, which it lacks.
    kinds, labels = np.repeat([0, 1, 2], 50), np.repeat([0, 0, 1], 50)
    votes = kind_votes(kinds, labels)
    reference = kind_votes(np.zeros(100, int), np.zeros(100, int))
    said = base_of(votes, Terms(sums_of(reference, 3, 2), 0.0, 2), 3).reference_term(votes)
    assert said.term.reshape(3, 50).mean(axis=1).tolist() == [0.0, -1.0, 0.0]
    assert said.coverage.reshape(3, 50).mean(axis=1).tolist() == [1.0, 1.0, 0.0]


def test_what_the_reference_knows_of_each_label_is_counted():
    votes, reference = votes_of(6, 200), part(votes_of(7, 90), slice(0, 90))
    base = base_of(votes, Terms(sums_of(reference), 0.0, LABELS))
    said = base.reference_term(votes)
    assert votes.on_labels
    nearest = votes.on_labels.nearest
    expected = [
        np.bincount(nearest[some], minlength=LABELS).tolist()
        for some in (said.coverage >= -1, said.coverage < 0.5, said.evidence < -1)
    ]
    assert base.label_counts.tolist() == expected


def test_a_crowded_label_that_the_base_dislikes_falls_and_one_that_it_likes_does_not():
    labels = np.concatenate([np.zeros(60, int), np.ones(60, int), np.arange(2, 12).repeat(4)])
    votes = kind_votes(np.zeros(160, int), labels)
    log_odds = np.where(labels == 0, -1.0, np.where(labels == 1, 2.0, 0.0))
    votes = with_log_odds(votes, log_odds)
    base = base_of(votes, Terms(None, 0.15, 12), 1)
    taken = standard(log_odds) - base.values(votes)
    assert (taken[labels == 0] > 0.15).all()
    assert (taken[labels != 0] == 0).all()
    assert np.argsort(-base.label_sums.crowd(160), kind="stable")[:2].tolist() == [0, 1]


def test_the_steps_are_named_by_what_is_added():
    assert Terms().steps == ("log_odds", "deviations")
    assert Terms(None, 0.1, 3).steps == ("log_odds", "deviations", "labels", "terms")
    assert Terms(sums_of(votes_of(0, 3)), 0.0, LABELS).steps == ("log_odds", "deviations", "terms")
    assert not Terms()


def test_a_reference_too_large_for_its_sums_is_refused():
    sums = sums_of(votes_of(0, 3))
    with pytest.raises(ValueError, match=f"{MOST_IMAGES + 3} images are more than the {MOST_IMAGES}"):
        _ = replace(sums, images=MOST_IMAGES) + sums


def test_votes_on_labels_are_asked_for_where_there_are_none():
    votes = drawn(0, 10, ANCHORS, 3)
    with pytest.raises(ValueError, match="have not voted on labels"):
        sums_of(votes)
    with pytest.raises(ValueError, match="there is no reference"):
        base_of(votes, Terms()).reference_term(votes)


def kind_votes(kinds: np.ndarray, labels: np.ndarray) -> Votes:
    """Images that vote on one anchor and one label each."""
    ones = np.ones((len(kinds), 1))
    on_labels = naive.LabelVotes(labels[:, None], ones)
    return Votes(np.zeros(len(kinds)), kinds[:, None], ones, np.ones(len(kinds)), on_labels)
