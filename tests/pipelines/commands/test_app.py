"""The ways in which `oodscan` can be called, and what it says before it does anything."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import typer.main

from pipelines.commands.app import app
from pipelines.errors import CALLER_MISTAKE

MODULES = ["pipelines", "pipelines.commands.app"]


def called(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_that_can_be_run_runs_the_command(module: str) -> None:
    done = called(module, "--version")
    assert (done.returncode, done.stdout) == (0, f"oodscan {version('oodscan')}\n")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_does_not_pass_over_a_mistake_in_silence(module: str) -> None:
    done = called(module, "scan", "nothing.yaml")
    assert done.returncode == CALLER_MISTAKE
    assert done.stderr.startswith("oodscan: CONFIG 'nothing.yaml' cannot be read: ")
    assert done.stderr.count("\n") == 1


def test_h_is_help_for_every_command_and_group() -> None:
    def walk(command: Any, parent: Any) -> Iterator[list[str]]:
        context = command.make_context(command.name, [], parent=parent, resilient_parsing=True)
        yield context.help_option_names
        for one in getattr(command, "commands", {}).values():
            yield from walk(one, context)

    assert list(walk(typer.main.get_command(app), None)) == [["-h", "--help"]] * 22


@pytest.mark.parametrize(
    "arguments", [["-h"], ["scan", "-h"], ["labels", "build", "-h"], ["memory", "-h"]], ids=" ".join
)
def test_h_shows_the_usage(arguments: list[str]) -> None:
    done = called("pipelines", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: oodscan" in done.stdout


def test_completion_prints_a_script_for_the_shell() -> None:
    code = f"{sys.executable} -m pipelines --show-completion bash; exit $?"  # it asks its parent which shell that is
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "_OODSCAN_COMPLETE=complete_bash" in done.stdout


def test_help_needs_neither_torch_nor_ray() -> None:
    code = "import sys; import pipelines.commands.app; print(sorted({'torch', 'ray', 'pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
