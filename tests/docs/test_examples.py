from pathlib import Path

import pytest
import yaml

from pipelines.config.labels import LabelsBuild
from pipelines.config.load import load
from pipelines.config.scan import Scan
from tests.conftest import REPOSITORY
from tests.docs.pages import PAGES, blocks

EXAMPLE = REPOSITORY / "infra" / "deploy" / "scan.yaml"


def test_the_example_config_is_valid() -> None:
    chosen = load(Scan, EXAMPLE, {})
    assert chosen.methods()["neglabel"].groups == yaml.safe_load(EXAMPLE.read_text())["param"]["neglabel.groups"]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")], ids=lambda page: page.name)
def test_the_yaml_in_the_documentation_is_valid(page: Path) -> None:
    for code in blocks(page, "yaml"):
        if code.startswith("--8<--"):
            continue
        values = yaml.safe_load(code)
        LabelsBuild.model_validate({"id_labels": "labels.txt", "output": "bank", **values})
