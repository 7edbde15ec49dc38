import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.docs.pages import PAGES

LINK = re.compile(r"\]\(([^)\s]+)\)")
INCLUDED = re.compile(r'^--8<-- "([^"]+)"$', re.M)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as Python-Markdown and code hosts make them."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text(), re.M)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_to_a_file_and_a_heading_of_it(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for target in LINK.findall(text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target} leads nowhere"
        assert not anchor or anchor in anchors(found), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_file_that_a_page_includes_exists(page: Path) -> None:
    for included in INCLUDED.findall(page.read_text()):
        assert (REPOSITORY / included).is_file()


TO_BE_MADE = "adding_a_scorer.md"
"""The page that names files which its reader makes."""


def test_every_path_in_code_style_exists() -> None:
    roots = r"(?:ood_core|pipelines|infra|tests|docs|requirements)/"
    absent = {
        (page.name, path)
        for page in PAGES
        if page.name != TO_BE_MADE
        for path in re.findall(rf"`({roots}[\w./-]+)`", page.read_text())
        if not (REPOSITORY / path).exists()
    }
    assert absent == set()
