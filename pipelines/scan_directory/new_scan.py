"""Starting over in a scan directory: removes what an earlier scan left there, and nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fsspec.core import split_protocol

from pipelines.errors import CallerError
from pipelines.scan_directory.layout import SCAN_FILE, files_of, names_a_file
from pipelines.storage import LOCAL, Directory, absolute


def check_not_read(output: Directory, read: Mapping[str, Sequence[str]]) -> None:
    """Raises CallerError if starting over would remove what is to be read. `read`: URLs by the option that names them.

    A URL of the scan directory itself counts, and so does one of a file in it that a scan may have written.
    """
    root = _resolved(output.url)
    for option, urls in read.items():
        for url in urls:
            found = _resolved(url)
            if found == root or (found.startswith(f"{root}/") and names_a_file(found[len(root) + 1 :])):
                raise CallerError(
                    f"--new-scan would remove {option} {url!r}, which this scan reads; use another --output"
                )


def clear(output: Directory) -> None:
    """Removes the files of the scan that lies in the directory; does nothing where there is no scan.

    `scan.json` goes last, so that a removal cut short can be repeated.
    """
    if not output.exists(SCAN_FILE):
        return
    for paths in files_of(output):
        output.remove_files(paths)


def _resolved(url: str) -> str:
    """The URL in the one form in which URLs can be compared: links of local paths followed, no trailing slash."""
    if split_protocol(url)[0] in LOCAL:
        return str(Path(absolute(url)).resolve())
    return url.rstrip("/")
