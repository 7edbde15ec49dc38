"""A page in Chromium, as somebody sees it: by mouse or keyboard, in light or dark, on a laptop or a phone."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
WITHIN = ("file:", "data:", "about:")
"""Addresses that ask nobody for anything."""


@dataclass(frozen=True)
class View:
    """An open page, the addresses that it asked others for, and the errors that it wrote to the console."""

    page: Page
    outside: list[str]
    errors: list[str]

    @property
    def focused(self) -> str:
        """The text of what has the focus; its title, label or value if it has no text."""
        return self.page.evaluate(
            "(one => one.textContent.trim() || one.getAttribute('aria-label') || one.value)(document.activeElement)"
        )

    def tab_to(self, text: str, most: int = 60) -> None:
        """Presses Tab until something of that text has the focus."""
        for _ in range(most):
            self.page.keyboard.press("Tab")
            if self.focused == text:
                return
        raise AssertionError(f"{most} times Tab do not lead to {text!r}, but to {self.focused!r}")

    def press(self, *keys: str) -> None:
        """Presses one key after the other."""
        for key in keys:
            self.page.keyboard.press(key)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium. Without one installed the test is skipped, and fails in CI."""
    found = os.environ.get("OODSCAN_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(found).exists():
        reason = f"there is no Chromium at {found}: install chromium, or set OODSCAN_CHROMIUM"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser, path: Path, *, dark: bool = False, width: int = 1280, scripts: bool = True
) -> Iterator[View]:
    """The file in a fresh window, loaded."""
    context = browser.new_context(
        color_scheme="dark" if dark else "light",
        viewport={"width": width, "height": 800},
        java_script_enabled=scripts,
        offline=True,
    )
    page, outside, errors = context.new_page(), list[str](), list[str]()
    page.on("request", lambda asked: None if asked.url.startswith(WITHIN) else outside.append(asked.url))
    page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(path.as_uri())
        yield View(page, outside, errors)
    finally:
        context.close()


def serious_findings(page: Page) -> list[str]:
    """What keeps people from using the page, as axe finds it: findings of impact serious or critical."""
    return [
        f"{found['id']} ({found['impact']}): {node['html'][:200]} — {node['failureSummary']}"
        for found in Axe().run(page).response["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]
