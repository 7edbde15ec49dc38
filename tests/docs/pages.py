"""The Markdown that people read, and the code in it."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import REPOSITORY

README = REPOSITORY / "README.md"
PAGES = sorted(
    [
        README,
        REPOSITORY / "CONTRIBUTING.md",
        *(REPOSITORY / "docs").rglob("*.md"),
        *(REPOSITORY / "infra").rglob("*.md"),
    ]
)
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.M | re.S)


def blocks(page: Path, language: str) -> list[str]:
    """The page's code blocks in a language; "" for those that name none."""
    return [code for found, code in BLOCK.findall(page.read_text()) if found == language]


def oodscan_commands(page: Path) -> Iterator[list[str]]:
    """The arguments of every `oodscan …` line in the page's shell blocks."""
    for code in blocks(page, "sh"):
        for line in code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["oodscan"]:
                yield words[1:]
