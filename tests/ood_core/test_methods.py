import subprocess
import sys

import pytest

from ood_core.methods import MCM, METHODS, NEEDS_NEGATIVES, NegLabel, score_column


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_is_a_positive_number(temperature):
    with pytest.raises(ValueError, match=f"temperature must be above 0, not {temperature}"):
        MCM(temperature=temperature)


@pytest.mark.parametrize("groups", [0, -5])
def test_there_is_at_least_one_group(groups):
    with pytest.raises(ValueError, match=f"groups must be at least 1, not {groups}"):
        NegLabel(groups=groups)


def test_defaults_are_those_of_the_papers():
    assert MCM() == MCM(temperature=1.0)
    assert NegLabel() == NegLabel(groups=100)


def test_methods_that_need_negatives_are_methods():
    assert set(METHODS) >= NEEDS_NEGATIVES


@pytest.mark.parametrize(("method", "column"), [("mcm", "score_mcm"), ("gl-mcm", "score_gl_mcm")])
def test_a_score_column_is_named_after_its_method(method, column):
    assert score_column(method) == column


@pytest.mark.parametrize("module", ["ood_core.methods", "ood_core.metrics", "ood_core.labels.bank"])
def test_what_checks_a_callers_request_does_not_load_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
