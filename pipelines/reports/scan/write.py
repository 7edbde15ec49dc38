"""Writes the page on a scan into its directory."""

from pipelines.reports.comparison.comparable import check_comparable
from pipelines.reports.ended import EndedScan
from pipelines.reports.html.render import render
from pipelines.reports.scan.page import MOST_PICTURES, last_night, scan_page
from pipelines.scan_directory.layout import REPORT_FILE
from pipelines.storage import Directory

MOST_BYTES = 5 * 2**20


def report_of(scan: EndedScan, before: EndedScan | None = None) -> bytes:
    """The page as a file of at most `MOST_BYTES`: with fewer pictures where it would be larger."""
    pictures = MOST_PICTURES
    while len(content := render(scan_page(scan, before, pictures)).encode()) > MOST_BYTES and pictures:
        pictures = min(pictures - 1, pictures * MOST_BYTES // len(content))
    return content


def write_report(output: Directory, before: Directory | None = None, called: str = "SCAN") -> str:
    """Writes `report.html` and returns its URL. `before`: a scan to hold this one against, by default `--since`.

    Raises CallerError for a scan that has not ended or cannot be read, and for one that it cannot be held against.
    """
    scan = EndedScan.read(output, called)
    if before:
        other = EndedScan.read(before, "--since")
        check_comparable(other, scan)
    else:
        other = last_night(scan)
    output.put(REPORT_FILE, report_of(scan, other))
    return f"{output.url.rstrip('/')}/{REPORT_FILE}"
