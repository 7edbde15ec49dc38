import pytest

from ood_core.memory.gap import RecentVerdicts, Thresholds


def test_the_fixed_thresholds_leave_the_gap_between_them():
    assert Thresholds.fixed(0.5, 0.5) == Thresholds(0.75, 0.25)
    assert Thresholds.fixed(0.4, 0.0) == Thresholds(0.4, 0.4)


@pytest.mark.parametrize(
    ("positive_fraction", "expected"),
    [
        (0.8, Thresholds(0.75, 0.5 - 0.8 * 0.5)),  # mostly ID: surer of what is called OOD
        (0.3, Thresholds(0.5 + 0.7 * 0.5, 0.25)),
        (0.5, Thresholds(0.75, 0.25)),
        (1.0, Thresholds(0.75, 0.0)),
        (0.0, Thresholds(1.0, 0.25)),
    ],
)
def test_the_commoner_verdict_raises_the_bar_for_the_other(positive_fraction, expected):
    assert Thresholds.adapted(0.5, 0.5, positive_fraction) == expected


def test_recent_verdicts_start_even_and_forget_the_oldest():
    recent = RecentVerdicts()
    assert recent.positive_fraction == 0.5
    recent.add([True] * 100)
    assert recent.positive_fraction == pytest.approx(200 / 300)
    recent.add([False] * 10_000)
    assert recent.positive_fraction == 0.0
