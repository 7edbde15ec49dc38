import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ood_core.memory import Candidates, Gate, MemoryBank, Offers
from tests.ood_core.memory.test_bank import CAPACITY, ROWS, bank, candidates, content, offers

CAPACITIES = np.full(ROWS, CAPACITY)
batches = st.lists(st.tuples(st.integers(0, 2), offers, st.booleans()), max_size=12)
"""Of (worker, what it finds, whether it has heard the news)."""


@given(batches)
def test_what_workers_hold_back_would_not_have_been_remembered(given):
    gates = [Gate(CAPACITIES) for _ in range(3)]
    memory = bank()
    for worker, found, hears in given:
        passing = candidates(found).take(gates[worker].passing(candidates(found)))
        memory.offer(passing)
        if hears:
            gates[worker].hear(memory.bounds())
    assert content(memory) == content(bank(*[found for _, found, _ in given]))


@given(offers, offers)
def test_after_the_news_only_what_enters_passes_but_for_what_is_there(before, found):
    memory, gate = bank(before), Gate(CAPACITIES)
    gate.hear(memory.bounds())
    known = {(row, key) for row, _, key, _ in content(memory)}
    passing = candidates(found).take(gate.passing(candidates(found)))
    fresh = [place for place in range(len(passing)) if (int(passing.rows[place]), passing.keys[place]) not in known]
    for place in fresh:
        alone = bank(before)
        assert alone.offer(passing.take(np.array([place])))


def test_ties_are_told_apart_by_key():
    gate = Gate(CAPACITIES)
    gate.hear(bank([(0, 1.0, "b", 0), (0, 1.0, "c", 0)]).bounds())
    assert gate.passing(candidates([(0, 1.0, "a", 0), (0, 1.0, "d", 0), (0, 0.5, "e", 0)])).tolist() == [0, 2]


def test_of_one_batch_no_more_pass_than_a_row_holds():
    found = candidates([(0, float(number), f"{number}", 0) for number in range(9, 0, -1)])
    assert Gate(CAPACITIES).passing(found).tolist() == [7, 8]


def test_old_news_changes_nothing():
    gate, found = Gate(CAPACITIES), candidates([(0, 0.7, "x", 0)])
    gate.hear(bank([(0, 0.1, "a", 0), (0, 0.2, "b", 0)]).bounds())
    gate.hear(bank([(0, 0.1, "a", 0), (0, 0.9, "b", 0)]).bounds())
    assert gate.passing(found).tolist() == []


def test_a_row_without_room_takes_nothing():
    assert Gate(np.array([0])).passing(candidates([(0, 0.0, "a", 0)])).tolist() == []


def test_offers_of_successive_lists_keep_their_places():
    one, other = (
        Offers(np.array([0, 1]), np.array([2, 3]), np.zeros(2), np.ones((2, 1), np.float32)) for _ in range(2)
    )
    together = Offers.together([one, other], [2, 2])
    assert together.places.tolist() == [0, 1, 2, 3]
    assert together.take(np.array([3, 0])).named("abcd").keys == ["d", "a"]


@given(offers, st.integers(1, 4))
def test_parts_of_a_memory_hold_together_what_one_would(given, parts):
    banks = [MemoryBank(CAPACITIES, 1) for _ in range(parts)]
    for part, of_part in enumerate(banks):
        of_part.offer(candidates(given).of_part(part, parts))
    together: MemoryBank = bank()
    for of_part in banks:
        together.merge(of_part)
    assert content(together) == content(bank(given))
    assert isinstance(candidates(given).of_part(0, parts), Candidates)
