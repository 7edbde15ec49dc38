"""Configurations and Python that people copy."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.config.base import Configuration
from pipelines.config.labels import LabelsBuild
from pipelines.config.load import load
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from tests.conftest import DEMO, REPOSITORY, picture
from tests.docs.pages import PAGES, README, blocks

DEPLOY = REPOSITORY / "infra" / "deploy"
EXAMPLES: dict[str, type[Configuration]] = {"scan.yaml": Scan, "rescore.yaml": Rescore, "labels.yaml": LabelsBuild}


def test_every_example_config_is_tested() -> None:
    assert {file.name for file in DEPLOY.iterdir()} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_config_is_valid(name: str) -> None:
    chosen = load(EXAMPLES[name], DEPLOY / name, {})
    if isinstance(chosen, Scan | Rescore):
        assert list(chosen.methods()) == yaml.safe_load((DEPLOY / name).read_text())["method"]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")], ids=lambda page: page.name)
def test_the_yaml_in_the_documentation_is_valid(page: Path) -> None:
    for code in blocks(page, "yaml"):
        if not code.startswith("--8<--"):
            LabelsBuild.model_validate({"id_labels": "labels.txt", "output": "bank", **yaml.safe_load(code)})


def test_the_readme_shows_how_to_read_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"key": ["cat", "screenshot"], "score_neglabel": [0.9, 0.1], "negative_label": ["dog", "screen"]}
    (tmp_path / "scans/first/scores").mkdir(parents=True)
    pq.write_table(pa.table(rows), tmp_path / "scans/first/scores/part-animals-0a1b2c3d.parquet")
    monkeypatch.chdir(tmp_path)
    exec(blocks(README, "python")[0], {})  # noqa: S102
    shown = capsys.readouterr().out
    assert shown.index("screenshot") < shown.index("cat")


def test_pictures_are_scored_in_a_notebook_as_shown(
    bank_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "banks").mkdir()
    (tmp_path / "banks" / "mine").symlink_to(bank_directory)
    (tmp_path / "photos").mkdir()
    for seed in range(3):
        picture(seed).save(tmp_path / "photos" / f"{seed}.png")
    monkeypatch.chdir(tmp_path)
    page = blocks(REPOSITORY / "docs" / "guide" / "as-a-library.md", "python")
    assert blocks(README, "python")[1] == page[0]
    defined: dict[str, Any] = {}
    for code, methods in zip(page, ({"neglabel", "max-cos"}, {"mcm", "adaneg"}), strict=True):
        exec(code.replace('"ViT-B-16", "openai"', f'"local-dir:{DEMO / "model"}"'), defined)  # noqa: S102
        assert {name: len(scores) for name, scores in defined["scores"].items()} == dict.fromkeys(methods, 3)
