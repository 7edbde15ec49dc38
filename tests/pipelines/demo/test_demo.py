"""The demo as a stranger runs it, and what the README says of it."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ood_core.methods import METHODS, score_column
from pipelines.demo.demo import evaluated
from pipelines.scan_directory.columns import flag_column
from tests.conftest import DEMO, REPOSITORY

README = (REPOSITORY / "README.md").read_text()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    output = tmp_path_factory.mktemp("demo")
    oodscan = Path(sys.executable).with_name("oodscan")
    ended = subprocess.run(
        [oodscan, "demo", "--output", output], capture_output=True, text=True, check=True, timeout=280
    )
    return output, ended.stdout


def test_the_demo_scores_every_bundled_drawing(demo: tuple[Path, str]) -> None:
    with (DEMO / "manifest.csv").open() as manifest:
        drawings = len(list(csv.DictReader(manifest)))
    assert f"{drawings} drawings scored" in demo[1]


def test_the_bundled_model_tells_animals_from_everything_else(demo: tuple[Path, str]) -> None:
    results = evaluated(f"{demo[0]}/scan").results
    assert len(results["neglabel"]) - 1 >= 8
    assert results["neglabel"]["average"].auroc >= 0.85
    worse = [name for name, found in results["neglabel"].items() if found.auroc <= results["max-cos"][name].auroc]
    assert worse == []


def test_the_bundle_keeps_to_its_sizes() -> None:
    assert sum(path.stat().st_size for path in (DEMO / "model").iterdir()) <= 25e6
    assert sum(path.stat().st_size for path in (DEMO / "shards").iterdir()) <= 12e6
    assert (REPOSITORY / "ood_core/vocabulary/wordnet/synsets.parquet").stat().st_size <= 8e6


def test_the_readme_shows_what_the_demo_prints(demo: tuple[Path, str]) -> None:
    shown = README[README.index("drawings scored") :].partition("\nscore table")[0]
    printed = demo[1][demo[1].index("drawings scored") :].partition("\nscore table")[0]
    numbers = r"\d+\.\d+"
    assert re.sub(numbers, "0", shown) == re.sub(numbers, "0", printed)
    for in_readme, now in zip(re.findall(numbers, shown), re.findall(numbers, printed), strict=True):
        assert float(in_readme) == pytest.approx(float(now), abs=0.02 * max(1.0, float(now)))


def test_the_documentation_explains_every_column_of_a_score_table(demo: tuple[Path, str]) -> None:
    page = (REPOSITORY / "docs" / "reference" / "score-tables.md").read_text()
    explained = set(re.findall(r"`([a-z_]+)`", page)) | {
        column(name) for name in METHODS for column in (score_column, flag_column)
    }
    table = next((demo[0] / "scan" / "scores").iterdir())
    assert set(pq.read_schema(table).names) - explained == set()
