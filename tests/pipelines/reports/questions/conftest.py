"""A browser, and pages of questions as files."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from pipelines.reports.questions.page import questions_page
from tests.pipelines.reports.browser import View, chromium, opened
from tests.pipelines.reports.html.made_page import written
from tests.pipelines.reports.questions.made_questions import hostile_questions, questions


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of twenty questions."""
    return written(tmp_path_factory.mktemp("twenty"), questions_page("scans/monday", "f00", questions(20)))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page in which every text is what nobody should be able to do harm with."""
    page = questions_page("</script><script>window.hacked=1</script>", "</script>", hostile_questions())
    return written(tmp_path_factory.mktemp("hostile"), page)


@pytest.fixture
def view(browser: Browser, twenty: Path) -> Iterator[View]:
    """The page of twenty; whatever a test does with it, it asks nobody for anything and has no error."""
    with opened(browser, twenty) as seen:
        yield seen
        assert (seen.outside, seen.errors) == ([], [])
