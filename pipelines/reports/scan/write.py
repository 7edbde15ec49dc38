"""Writes the page on a scan into its directory."""

from pipelines.reports.ended import EndedScan
from pipelines.reports.html.render import render
from pipelines.reports.scan.page import MOST_PICTURES, last_night, scan_page
from pipelines.scan_directory.layout import REPORT_FILE
from pipelines.storage import Directory

MOST_BYTES = 5 * 2**20


def report_of(scan: EndedScan, before: EndedScan | None = None) -> bytes:
    """The page as a file of at most `MOST_BYTES`: with fewer pictures where it would be larger."""
    pictures = MOST_PICTURES
    content = render(scan_page(scan, before, pictures)).encode()
    while len(content) > MOST_BYTES and pictures:
        pictures //= 2
        content = render(scan_page(scan, before, pictures)).encode()
    return content


def write_report(output: Directory, before: Directory | None = None, called: str = "SCAN") -> str:
    """Writes `report.html` and returns its URL. `before`: a scan to hold this one against, by default `--since`.

    Raises CallerError for a scan that has not ended or cannot be read.
    """
    scan = EndedScan.read(output, called)
    content = report_of(scan, EndedScan.read(before, "--since") if before else last_night(scan))
    output.put(REPORT_FILE, content)
    return f"{output.url.rstrip('/')}/{REPORT_FILE}"
