"""The worked example of docs/adding_a_scorer.md: one file and one line make a method that everything else knows."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ood_core.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "adding_a_scorer.md").read_text()
FILE, LINE, TEST = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
READ = re.findall(r"^\| `(ood_core/\S+)` \| (.*) \| (\d+) \|$", PAGE, re.M)

USE = """
import sys
import numpy as np, torch
from ood_core.labels import BankInfo, LabelBank
from ood_core.methods import METHODS
from pipelines.config.methods import method_parameters
from pipelines.errors import CallerError

assert "energy" in METHODS
chosen = method_parameters(["energy"], {"energy.temperature": "2"})
assert chosen["energy"].temperature == 2.0
try:
    method_parameters(["energy"], {"energy.temperature": 0})
except CallerError as error:
    assert "temperature must be above 0" in str(error), error
else:
    raise AssertionError("a temperature of 0 was taken")

from ood_core.scores import ImageScorer
drawn = np.random.default_rng(0).normal(size=(30, 16))
unit = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
ids, images = unit[:5], unit[5:]
bank = LabelBank(list("abcde"), ["noun"] * 5, 5, ids, np.full(5, np.nan), [None] * 5, BankInfo(temperature=0.05))
found = ImageScorer(bank, chosen)(torch.from_numpy(images)).scores["energy"]
logits = images.astype(np.float64) @ ids.T.astype(np.float64) / 0.05
np.testing.assert_allclose(found, 2 * np.log(np.exp(logits / 2).sum(axis=1)), rtol=0, atol=1e-4)
print("scored by", sys.modules["ood_core"].__file__)
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the packages with the page's file and line added."""
    for package in ("ood_core", "pipelines"):
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "ood_core" / "methods" / "energy.py").write_text(FILE)
    table = tmp_path / "ood_core" / "methods" / "table.py"
    before, brace, after = table.read_text().partition("LINES = {\n")
    assert brace
    table.write_text(before + brace + LINE + after)
    return tmp_path


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    return subprocess.run([sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True)


def test_one_file_and_one_line_make_a_method(copy: Path) -> None:
    found = run(copy, "-c", USE)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == f"scored by {copy / 'ood_core' / '__init__.py'}"


def test_the_pages_own_test_and_the_tests_of_every_method_hold_the_new_one(copy: Path) -> None:
    scores = copy / "tests" / "ood_core" / "scores"
    scores.mkdir(parents=True)
    shutil.copy(REPOSITORY / "pyproject.toml", copy)
    shutil.copy(REPOSITORY / "tests" / "ood_core" / "conftest.py", scores.parent)
    shutil.copy(REPOSITORY / "tests" / "ood_core" / "scores" / "test_scorers.py", scores)
    (scores / "test_energy.py").write_text(TEST)
    found = run(copy, "-m", "pytest", "-q", "-k", "energy", "tests")
    assert re.search(r"^\d+ passed", found.stdout, re.M), found.stdout
    assert int(found.stdout.splitlines()[-1].split()[0]) > 25


def lines(path: str, part: str) -> int:
    """How many lines a whole file has, or the classes that the table names."""
    text = (REPOSITORY / path).read_text()
    if part.startswith("all"):
        return len(text.splitlines())
    named = re.findall(r"`(\w+)`", part)
    classes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name in named]
    assert len(classes) == len(named)
    starts = [min([node.lineno, *(one.lineno for one in node.decorator_list)]) for node in classes]
    return sum((node.end_lineno or 0) - start + 1 for node, start in zip(classes, starts, strict=True))


def test_one_reads_as_many_lines_as_the_page_says() -> None:
    assert [(path, int(count)) for path, _, count in READ] == [(path, lines(path, part)) for path, part, _ in READ]
    total = sum(int(count) for _, _, count in READ)
    assert f"That is {total} lines." in PAGE
    assert total <= 300
