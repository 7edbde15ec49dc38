import re
from dataclasses import fields

import pytest

from infra.docs.reference import OUTPUT, pages
from ood_core.methods import METHODS
from pipelines.inputs.readers.record import STATUSES
from tests.conftest import REPOSITORY
from tests.docs.pages import README
from tests.test_import_graph import FLOORS


@pytest.mark.parametrize("name", list(pages()))
def test_the_reference_is_what_the_code_says(name: str) -> None:
    assert (OUTPUT / name).read_text() == pages()[name], "`make docs` writes it anew"


def test_every_method_is_in_both_tables_of_methods() -> None:
    for page in (README, REPOSITORY / "docs" / "methods.md"):
        for name in METHODS:
            assert f"\n| `{name}`" in page.read_text()


def test_every_parameter_and_its_default_is_in_the_table_of_methods() -> None:
    rows = (REPOSITORY / "docs" / "methods.md").read_text().splitlines()
    for name, parameters in METHODS.items():
        row = next(row for row in rows if row.startswith(f"| `{name}`"))
        for field in fields(parameters):
            assert f"`{field.name}`" in row


def test_every_status_is_explained_in_the_words_of_the_code() -> None:
    text = (REPOSITORY / "docs" / "reference" / "score-tables.md").read_text().partition("| status |")[2]
    assert dict(re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", text, re.M)) == STATUSES


def test_the_floors_are_those_that_the_import_graph_is_held_to() -> None:
    page = (REPOSITORY / "docs" / "how-it-is-built.md").read_text()
    rows = re.findall(r"^\| \d+ \| (.*?) \| .* \|$", page, re.M)
    shown = [{room.rstrip("/") for room in re.findall(r"`([^`]+)`", row)} for row in rows]
    not_shown = {"pipelines/__init__.py", "pipelines/__main__.py"}
    assert shown == [set(floor) - not_shown for floor in FLOORS]
