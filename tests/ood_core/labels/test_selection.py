import numpy as np
import pytest

from ood_core.labels.selection import keep_lowest


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
