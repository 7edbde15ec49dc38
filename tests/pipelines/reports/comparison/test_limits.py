"""What a comparison must not find, as it is written on the command line."""

import pytest

from pipelines.errors import CallerError
from pipelines.reports.comparison.limits import Limits


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        (None, Limits()),
        ("", Limits()),
        ("drift=0.1", Limits(drift=0.1)),
        ("drift=0.1,flagged=+0.01,new-kind=20,broken=1", Limits(0.1, 0.01, 20, 1)),
        (" broken=2 , drift=1e-3 ", Limits(drift=0.001, broken=2)),
    ],
)
def test_limits_are_read(given: str | None, limits: Limits) -> None:
    assert Limits.parse(given) == limits


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("drfit=0.1", "'drfit=0.1' is none of drift=NUMBER, flagged=NUMBER, new-kind=NUMBER, broken=NUMBER"),
        ("drift=0.1,", "'' is none of drift=NUMBER, flagged=NUMBER, new-kind=NUMBER, broken=NUMBER"),
        ("broken", "'broken' is none of drift=NUMBER, flagged=NUMBER, new-kind=NUMBER, broken=NUMBER"),
        ("new_kind=3", "'new_kind=3' is none of drift=NUMBER, flagged=NUMBER, new-kind=NUMBER, broken=NUMBER"),
        ("drift=much", "'drift=much': 'much' is no number"),
        ("drift=", "'drift=': '' is no number"),
        ("flagged=0", "'flagged=0': the number must be above 0"),
        ("flagged=-1", "'flagged=-1': the number must be above 0"),
        ("drift=nan", "'drift=nan': the number must be above 0"),
        ("drift=inf", "'drift=inf': the number must be above 0"),
    ],
)
def test_what_is_no_limit_is_named(given: str, said: str) -> None:
    with pytest.raises(CallerError) as refused:
        Limits.parse(given)
    assert str(refused.value) == f"--fail-on {said}"
