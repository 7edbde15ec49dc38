import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from infra.docs.reference import leaf_commands
from pipelines.commands.app import app
from tests.conftest import REPOSITORY
from tests.docs.pages import BLOCK, PAGES, oodscan_commands

COMMANDS = [
    pytest.param(arguments, id=f"{page.name}: {' '.join(arguments)[:60]}")
    for page in PAGES
    for arguments in oodscan_commands(page)
]


def parsed(arguments: list[str]) -> dict[str, Any]:
    """What the real command line makes of the arguments, without running anything."""
    command: Any = typer.main.get_command(app)
    words = list(arguments)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    return command.make_context("oodscan", words).params


@pytest.mark.parametrize("arguments", COMMANDS)
def test_every_command_in_the_documentation_is_understood(arguments: list[str]) -> None:
    parsed(arguments)


def test_an_option_that_is_spelled_wrong_would_be_found() -> None:
    with pytest.raises(Exception, match="No such option"):
        parsed(["scan", "--imput", "x.tar"])


def test_there_are_commands_of_all_common_kinds() -> None:
    shown = {command.values[0][0] for command in COMMANDS}  # pyright: ignore[reportIndexIssue]
    assert shown >= {"labels", "plan", "scan", "rescore", "verify", "evaluate", "memory", "anchors"}


def options(page: Path) -> set[str]:
    """The options that a page's own text names, other programs' apart."""
    text = BLOCK.sub(lambda block: block[2] if block[1] == "sh" else "", page.read_text())
    ours = "\n".join(line for line in text.splitlines() if "infra." not in line)
    ours = re.sub(r"^(\s*uv|pip|apt-get|\.venv) .*$|`(?:uv|pip|apt-get|\.venv)[^`]*`", "", ours, flags=re.M)
    return set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", ours))


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if "infra" not in page.parts and page.name != "commands.md"],
    ids=lambda page: page.name,
)
def test_every_option_that_the_documentation_names_exists(page: Path) -> None:
    known = {
        name for _, command in leaf_commands() for one in command.params for name in [*one.opts, *one.secondary_opts]
    }
    root = set(re.findall(r"--[a-z-]+", CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout))
    assert options(page) - known - root - {"--help"} == set()


def test_the_readme_fits_on_three_screens() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 150
