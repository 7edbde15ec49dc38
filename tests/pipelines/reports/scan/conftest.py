"""A browser, the pages of a scan and of a comparison as files, and those of scans in which every text is hostile."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import Browser

from pipelines.reports.comparison.compare import compare
from pipelines.reports.comparison.page import comparison_page
from pipelines.reports.ended import EndedScan
from pipelines.reports.html.render import render
from pipelines.reports.scan.write import report_of
from tests.pipelines.reports.browser import View, chromium, opened
from tests.pipelines.reports.ended_scans import ID_LABELS, RUN, Made, rows
from tests.pipelines.reports.html.made_page import HOSTILE

TEXTS = [text for text in HOSTILE if "\ud800" not in text]
"""Those that a table of Arrow can hold."""
METHODS = ("mcm", "max-cos")


def night(seed: int, kinds: int, count: int = 60) -> pa.Table:
    """Records of so many kinds, every seventh in error."""
    random = np.random.default_rng(seed)
    good = [row % 7 > 0 for row in range(count)]
    scores = [[float(random.random() ** 2) if ok else None for ok in good] for _ in METHODS]
    return rows(
        dict(zip(METHODS, scores, strict=True)),
        key=[f"folder {row % 3}/{seed}-{row:03d}.jpg" for row in range(count)],
        status=["ok" if ok else ("empty-file", "truncated-archive")[seed % 2] for ok in good],
        id_label=[str(random.choice(ID_LABELS)) if ok else None for ok in good],
        negative_label=[f"kind {random.integers(kinds)}" if ok else None for ok in good],
    )


def pages(folder: Path, before: Made, after: Made) -> dict[str, Path]:
    """The page on a night after another, and that on both held against each other."""
    scans = before.read(folder / "before"), after.read(folder / "after")
    found = {"scan": report_of(scans[1], scans[0]), "comparison": _comparison(*scans)}
    for name, content in found.items():
        (folder / f"{name}.html").write_bytes(content)
    return {name: folder / f"{name}.html" for name in found}


def _comparison(before: EndedScan, after: EndedScan) -> bytes:
    found = compare(before, after)
    return render(comparison_page(found, ["drift: more than may be"])).encode()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages of a night in which kinds, shards and labels are new, and something is broken."""
    before = Made({"same": night(0, 9), "old": night(2, 9)}, METHODS, dict.fromkeys(METHODS, 0.3))
    shards = {"same": night(0, 9), **{f"new {number}": night(number, 12) for number in range(3, 12)}}
    after = Made(shards, METHODS, dict.fromkeys(METHODS, 0.3), run=RUN, passed_over={".json": 3})
    return pages(tmp_path_factory.mktemp("full"), before, after)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages whose keys, folders, labels, shards and directories are all called what nobody should be able to do harm
    with."""
    table = {
        text[:60]: rows([0.1] * 9, key=[f"{text}/{text}"] * 9, id_label=[text] * 9, negative_label=[text] * 9)
        for text in TEXTS
    }
    place = tmp_path_factory.mktemp("hostile") / "<img src=x onerror=window.hacked=1>\u202e"
    return pages(place, Made({"one": rows([0.9] * 300)}), Made(table, passed_over=dict.fromkeys(TEXTS, 1)))


@pytest.fixture
def view(browser: Browser, full: dict[str, Path]) -> Iterator[View]:
    """The page on a scan; whatever a test does with it, it asks nobody for anything and has no error."""
    with opened(browser, full["scan"]) as seen:
        yield seen
        assert (seen.outside, seen.errors) == ([], [])
