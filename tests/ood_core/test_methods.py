import subprocess
import sys

import pytest

from ood_core.methods import (
    MCM,
    METHODS,
    AdaNeg,
    Consensus,
    InterNeg,
    MaxCos,
    Method,
    NegLabel,
    Reference,
    Verdicts,
    learners_of,
    score_column,
    settled,
)
from ood_core.methods.table import MethodTable


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_is_a_positive_number(temperature):
    with pytest.raises(ValueError, match=f"temperature must be above 0, not {temperature}"):
        MCM(temperature=temperature)


@pytest.mark.parametrize("groups", [0, -5])
def test_there_is_at_least_one_group(groups):
    with pytest.raises(ValueError, match=f"groups must be at least 1, not {groups}"):
        NegLabel(groups=groups)


OTHERS = ["consensus", "reference", "verdicts"]
"""The methods that change the scores of others."""


@pytest.mark.parametrize("base", [*OTHERS, "NegLabel", ""])
@pytest.mark.parametrize("method", [Consensus, Reference, Verdicts])
def test_the_scores_of_another_method_are_changed(method, base):
    with pytest.raises(ValueError, match=f"base must be a method that scores images by themselves, not '{base}'"):
        method(base=base)


@pytest.mark.parametrize("base", sorted(set(METHODS) - set(OTHERS)))
@pytest.mark.parametrize("method", [Consensus, Reference, Verdicts])
def test_any_other_method_may_be_the_base(method, base):
    assert method(base=base).base == base


def test_a_reference_lowers_the_first_method_that_learns_nothing_and_consensus_takes_it_in():
    asked = {"adaneg": AdaNeg(), "reference": Reference(), "max-cos": MaxCos(), "consensus": Consensus(base="max-cos")}
    found = settled({**asked, "mcm": MCM()}, has_reference=True)
    assert list(found) == [*asked, "mcm"]
    assert (found["reference"], found["consensus"]) == (Reference("max-cos"), Consensus("max-cos", reference=True))
    chosen = {"reference": Reference("adaneg"), "consensus": Consensus(reference=False), "adaneg": AdaNeg()}
    assert settled(chosen, has_reference=True) == chosen


def test_without_a_reference_consensus_does_without_one():
    assert settled({"consensus": Consensus()}, has_reference=False) == {"consensus": Consensus(reference=False)}


@pytest.mark.parametrize(
    ("methods", "has_reference", "message"),
    [
        ({"mcm": MCM(), "reference": Reference()}, False, "the method reference needs images that are known to belong"),
        ({"consensus": Consensus(reference=True)}, False, "consensus.reference=True needs images that are known"),
        (
            {"adaneg": AdaNeg(), "reference": Reference()},
            True,
            "needs the scores of another method that learns nothing",
        ),
    ],
)
def test_what_a_reference_lacks_is_named(methods, has_reference, message):
    with pytest.raises(ValueError, match=message):
        settled(methods, has_reference)


@pytest.mark.parametrize(
    ("name", "value", "limit"),
    [
        ("images_per_anchor", 0, "at least 1"),
        ("max_anchors", 15, "at least 16"),
        ("nearest", 0, "at least 1"),
        ("sharpness", -0.1, "at least 0"),
        ("sharpness", float("inf"), "at least 0"),
        ("caution", -0.1, "at least 0"),
        ("caution", float("nan"), "at least 0"),
        ("reach", 0.0, "above 0"),
        ("reach", float("inf"), "above 0"),
        ("rounds", 0, "at least 1"),
    ],
)
def test_parameters_of_consensus_have_limits(name, value, limit):
    with pytest.raises(ValueError, match=f"{name} must be {limit}, not {value}"):
        Consensus(**{name: value})


def test_parameters_of_consensus_may_be_at_their_limits():
    at_limits = {"images_per_anchor": 1, "max_anchors": 16, "nearest": 1, "rounds": 1, "sharpness": 0.0, "caution": 0.0}
    assert Consensus(**at_limits, reach=None) == Consensus("neglabel", 1, 16, 1, 0.0, 0.0, None, 1)


def test_defaults_are_those_of_the_papers():
    assert MCM() == MCM(temperature=1.0)
    assert NegLabel() == NegLabel(groups=100)
    assert Consensus() == Consensus(base="neglabel", images_per_anchor=15, max_anchors=65_536, nearest=5, rounds=4)
    assert (Consensus().sharpness, Consensus().caution) == (20.0, 0.25)


@pytest.mark.parametrize("method", METHODS)
def test_every_line_of_the_table_names_a_method_with_defaults(method):
    assert isinstance(METHODS[method](), Method)


@pytest.mark.parametrize("line", ["ood_core.methods.none:Nothing", "ood_core.methods.mcm:Nothing", "math:pi", "math"])
def test_a_line_of_the_table_that_names_no_method_fails_when_it_is_looked_up(line):
    table = MethodTable({"mcm": "ood_core.methods.mcm:MCM", "wrong": line})
    assert list(table) == ["mcm", "wrong"]
    assert table["mcm"] is MCM
    with pytest.raises(TypeError, match=f"METHODS\\['wrong'\\] is '{line}'"):
        table["wrong"]


def test_a_method_that_is_not_in_the_table_is_a_key_error():
    assert "NegLabel" not in METHODS
    with pytest.raises(KeyError, match="NegLabel"):
        METHODS["NegLabel"]


def test_a_method_says_in_which_order_it_learns():
    methods = {"adaneg": AdaNeg(order="streaming"), "interneg": InterNeg(), "neglabel": NegLabel()}
    assert learners_of(methods) == {"interneg": InterNeg()}
    assert learners_of(methods, "streaming") == {"adaneg": AdaNeg(order="streaming")}
    assert InterNeg(max_inversions=0).learning_order is None
    assert InterNeg(max_inversions=0, order="sequential").sequential


def test_a_row_of_a_memory_has_the_capacity_that_its_method_says():
    assert AdaNeg(memory_length=4).capacities(3, 2, False).tolist() == [3, 3, 3]
    assert InterNeg(max_inversions=7).capacities(3, 2, False).tolist() == [7, 16, 16]
    assert InterNeg(max_inversions=7).capacities(3, 2, True).tolist() == [7]
    assert InterNeg(invert_below=0.0).capacities(3, 2, True).tolist() == [0]


@pytest.mark.parametrize(("method", "column"), [("mcm", "score_mcm"), ("gl-mcm", "score_gl_mcm")])
def test_a_score_column_is_named_after_its_method(method, column):
    assert score_column(method) == column


@pytest.mark.parametrize(
    "module", ["ood_core.methods", "ood_core.metrics", "ood_core.labels.bank", "ood_core.consensus"]
)
def test_what_checks_a_callers_request_does_not_load_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
