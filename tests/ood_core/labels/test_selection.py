import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ood_core.labels.selection import Lowest, keep_lowest, shares


@pytest.mark.parametrize(
    ("scores", "fraction", "kept"),
    [
        ([0.3, 0.1, 0.2], 1.0, [1, 2, 0]),
        ([0.3, 0.1, 0.2], 0.67, [1, 2]),
        ([0.3, 0.1, 0.2], 0.66, [1]),  # 1.98, rounded down
        ([0.3, 0.1, 0.2], 0.0, []),
        ([0.5, 0.1, 0.5, 0.1, 0.5], 0.8, [1, 3, 0, 2]),  # ties in the candidates' order
        ([], 0.15, []),
    ],
)
def test_the_lowest_fraction_is_kept_lowest_first(scores, fraction, kept):
    assert keep_lowest(np.array(scores), fraction).tolist() == kept


def test_fifteen_percent_of_every_twenty_are_three():
    sizes = range(0, 80_000, 20)
    assert [int(size * 0.15) for size in sizes] == [size // 20 * 3 for size in sizes]
    assert len(keep_lowest(np.zeros(140), 0.15)) == 21


def ranked(indices: np.ndarray, scores: np.ndarray) -> pa.Table:
    return pa.table({"index": indices, "selection_score": scores[indices], "text": [f"word {row}" for row in indices]})


@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=60), st.integers(0, 70), st.integers(1, 9), st.randoms()
)
def test_streaming_in_any_order_keeps_what_a_sort_keeps(scores, most, size, random):
    values = np.array(scores)
    blocks = [np.arange(len(values))[start : start + size] for start in range(0, len(values), size)]
    random.shuffle(blocks)
    lowest = Lowest(most)
    for block in blocks:
        lowest.add(ranked(block[values[block] <= lowest.bound], values))
    kept = lowest.rows()
    expected = np.argsort(values, kind="stable")[:most].tolist()
    assert (kept["index"].to_pylist() if kept is not None else []) == expected
    assert kept is None or kept["text"].to_pylist() == [f"word {row}" for row in expected]


def test_memory_is_bounded_and_the_bound_falls():
    scores = np.random.default_rng(0).random(10_000)
    lowest, bounds = Lowest(10), []
    for start in range(0, 10_000, 7):
        lowest.add(ranked(np.arange(start, min(start + 7, 10_000)), scores))
        bounds.append(lowest.bound)
        assert sum(map(len, lowest._tables)) <= 20
    assert bounds[0] == np.inf
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] < 0.01


@pytest.mark.parametrize(
    ("nouns", "adjectives", "most", "shared"),
    [
        (300, 100, 100, (75, 25)),
        (299, 100, 100, (75, 25)),  # 25.06
        (301, 100, 100, (76, 24)),  # 24.94, rounded down
        (30, 10, 100, (30, 10)),  # fewer than asked for: all
        (0, 10, 5, (0, 5)),
        (10, 0, 5, (5, 0)),
        (0, 0, 5, (0, 0)),
    ],
)
def test_parts_share_by_their_survivors(nouns, adjectives, most, shared):
    assert tuple(shares({"noun": nouns, "adjective": adjectives}, most).values()) == shared
