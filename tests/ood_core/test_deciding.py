"""Which of several methods decides: those that know more than the methods they go by, else the first."""

import pytest

from ood_core.methods import deciding_method


@pytest.mark.parametrize(
    ("methods", "deciding"),
    [
        (["mcm"], "mcm"),
        (["max-cos", "neglabel"], "max-cos"),
        (["neglabel", "max-cos"], "neglabel"),
        (["neglabel", "reference"], "reference"),
        (["neglabel", "consensus"], "consensus"),
        (["neglabel", "reference", "consensus"], "consensus"),
        (["consensus", "reference", "neglabel"], "consensus"),
    ],
)
def test_consensus_decides_else_the_reference_else_the_first(methods: list[str], deciding: str) -> None:
    assert deciding_method(methods) == deciding
    assert deciding_method(dict.fromkeys(methods)) == deciding


def test_of_no_methods_none_decides() -> None:
    with pytest.raises(ValueError, match="there is no method to decide"):
        deciding_method([])
