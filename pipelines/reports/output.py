"""Where a report goes that can also be a page: to the terminal, or to a file whose name says of which kind it is."""

from collections.abc import Callable, Mapping
from typing import Any

from pipelines.errors import CallerError
from pipelines.reports.html.page import Page
from pipelines.reports.html.render import render
from pipelines.reports.tables import FORMATS, Reported, rendered
from pipelines.storage import Directory

PAGES = (*FORMATS, "html")
SUFFIXES = {".html": "html", ".md": "markdown", ".json": "json", ".txt": "text"}


def format_of(output: str | None) -> str | None:
    """The format that a file's name stands for; None if it stands for none."""
    return next((name for suffix, name in SUFFIXES.items() if output and output.endswith(suffix)), None)


def put_report(
    found: Reported, page: Callable[[], Page], form: str, output: str | None, options: Mapping[str, Any]
) -> str:
    """The report in one of `PAGES`, as text to print; "" if it goes to a file.

    Raises CallerError for a file that has no name, WriteError if it cannot be written.
    """
    directory, name = Directory.of_file(output or "", options)
    if output is not None and name in ("", ".", ".."):
        raise CallerError(f"--output {output!r} is no file's name")
    content = render(page()) if form == "html" else rendered(found, form)
    if output is None:
        return content
    directory.put(name, content.encode())
    return ""
