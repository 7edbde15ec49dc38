"""A browser for each file of tests, and the pages that are opened in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from pipelines.reports.html.render import render
from tests.pipelines.reports.browser import View, chromium, opened
from tests.pipelines.reports.html.made_page import full_page, hostile_page, written


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("full"), render(full_page()))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("hostile"), render(hostile_page()))


@pytest.fixture
def view(browser: Browser, full: Path) -> Iterator[View]:
    """The full page; whatever a test does with it, it asks nobody for anything and has no error."""
    with opened(browser, full) as seen:
        yield seen
        assert (seen.outside, seen.errors) == ([], [])
