import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ood_core.memory import Candidates, MemoryBank

ROWS, CAPACITY = 3, 2
one = st.tuples(
    st.integers(0, ROWS - 1), st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.sampled_from("abcdef"), st.integers(0, 2)
)
offers = st.lists(one, max_size=14)


def candidates(given) -> Candidates:
    """Of (row, priority, key, number): the embedding holds the number."""
    return Candidates(
        rows=np.array([row for row, *_ in given], np.int64),
        priorities=np.array([priority for _, priority, *_ in given], np.float64),
        keys=[key for _, _, key, _ in given],
        embeddings=np.array([[number] for *_, number in given], np.float32).reshape(-1, 1),
    )


def bank(*parts) -> MemoryBank:
    made = MemoryBank(np.full(ROWS, CAPACITY), dim=1)
    for part in parts:
        made.offer(candidates(part))
    return made


def merged(*banks: MemoryBank) -> MemoryBank:
    made = bank()
    for other in banks:
        made.merge(other)
    return made


def content(made: MemoryBank) -> list[tuple]:
    found = made.snapshot()
    return list(zip(found.rows.tolist(), found.priorities.tolist(), found.keys, found.embeddings.tolist(), strict=True))


def naive(given) -> list[tuple]:
    """Each image once; the first of each row. Bytes of the embedding break the last ties."""
    kept = []
    for row in range(ROWS):
        images = {
            (priority, key, np.float32(number).tobytes(), number) for of, priority, key, number in given if of == row
        }
        kept += [(row, priority, key, [float(number)]) for priority, key, _, number in sorted(images)[:CAPACITY]]
    return kept


@given(offers)
def test_a_row_holds_its_lowest_priorities_each_image_once(given):
    assert content(bank(given)) == naive(given)


@given(offers, st.randoms(use_true_random=False))
def test_the_order_of_offers_does_not_matter(given, random):
    shuffled = random.sample(given, len(given))
    assert content(bank(*[[image] for image in shuffled])) == content(bank(given))


@given(offers, offers)
def test_merge_is_commutative(a, b):
    assert content(merged(bank(a), bank(b))) == content(merged(bank(b), bank(a))) == content(bank(a, b))


@given(offers, offers, offers)
def test_merge_is_associative(a, b, c):
    left, right = merged(merged(bank(a), bank(b)), bank(c)), merged(bank(a), merged(bank(b), bank(c)))
    assert content(left) == content(right)


@given(offers, offers)
def test_merge_is_idempotent(a, b):
    once = merged(bank(a), bank(b))
    assert content(merged(once, bank(b), bank(a), once)) == content(once)


@given(offers, one)
def test_what_is_worse_than_the_worst_changes_nothing(given, image):
    made = bank(given)
    before, row, priority, *_ = content(made), *image
    if priority > made.worst[row]:
        made.offer(candidates([image]))
        assert content(made) == before


def test_images_of_one_key_are_one_only_if_their_embeddings_are_the_same():
    one, other = (0, 1.0, "a", 0), (0, 1.0, "a", 1)
    assert content(bank([other, one, one, other])) == content(bank([one], [other])) == [
        (0, 1.0, "a", [0.0]), (0, 1.0, "a", [1.0])
    ]  # fmt: skip


def test_rows_may_have_capacities_of_their_own():
    made = MemoryBank(np.array([0, 1, 3]), dim=1)
    made.offer(candidates([(row, float(number), f"key {number}", 0) for row in range(3) for number in range(4)]))
    assert [row for row, *_ in content(made)] == [1, 2, 2, 2]
    assert len(made) == 4


def test_a_priority_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="a priority is not a number"):
        bank([(0, float("nan"), "a", 0)])


def test_an_empty_memory_has_an_empty_snapshot_of_its_dimension():
    assert MemoryBank(np.array([1]), dim=7).snapshot().embeddings.shape == (0, 7)
