import subprocess
import sys

import pytest

from ood_core.criteria import CRITERIA, ConjugatedPool, Density, NegMining, kept_fraction, parameters_of
from ood_core.vocabulary import CSP_FILES, DEFAULT_FILES


def test_every_criterion_has_the_prompts_and_files_of_its_paper():
    assert {name: (kind.prompts.name, kind.wordnet_files) for name, kind in CRITERIA.items()} == {
        "neglabel": ("neglabel", DEFAULT_FILES),
        "csp": ("csp", CSP_FILES),
        "density": ("neglabel", CSP_FILES),
        "interneg": ("interneg", DEFAULT_FILES),
        "none": ("interneg", DEFAULT_FILES),
    }


def test_parameters_are_the_fields():
    assert parameters_of("csp") == ("fraction", "adjective_fraction", "phrase_seed")
    assert parameters_of("none") == ()


@pytest.mark.parametrize(
    ("criterion", "nouns", "adjectives"),
    [
        (NegMining(), 0.15, 0.15),
        (NegMining(fraction=0.3), 0.3, 0.3),
        (ConjugatedPool(fraction=0.3, adjective_fraction=0.1), 0.3, 0.1),
        (Density(), 0.23, 0.13),
        (Density(fraction=0.25), 0.25, 0.13),
    ],
)
def test_adjectives_may_have_a_fraction_of_their_own(criterion, nouns, adjectives):
    assert (kept_fraction(criterion, "noun"), kept_fraction(criterion, "adjective")) == (nouns, adjectives)


def test_importing_the_criteria_loads_neither_pyarrow_nor_torch():
    code = "import sys, ood_core.criteria; print(*{'pyarrow', 'numpy', 'torch'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "\n"
