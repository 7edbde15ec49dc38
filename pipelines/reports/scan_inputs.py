"""What every report on a scan takes in: the option `--top`, the scan's label bank, its files. Free of torch."""

from typing import BinaryIO

from ood_core.labels import LabelBank
from pipelines.errors import CallerError
from pipelines.inputs.readers.range_file import open_range
from pipelines.scan_directory.record import ScanRecord
from pipelines.storage import Directory, file_system


def check_top(top: int, counts: str) -> None:
    """Raises CallerError if `--top` is negative. `counts`: what it is the number of."""
    if top < 0:
        raise CallerError(f"--top {top} is below 0; it is how many {counts}")


def bank_or_note(record: ScanRecord, without_bank: str) -> tuple[LabelBank | None, list[str]]:
    """The label bank of a scan and no note; or, if it cannot be read or has changed, None and a note that says why.

    `without_bank`: what the report lacks then, the beginning of the note.
    """
    try:
        return record.bank(), []
    except CallerError as error:
        return None, [f"{without_bank}: {error}."]


def open_file(directory: Directory, name: str) -> BinaryIO:
    """A file of the scan directory, of which only the ranges that are read are fetched.

    Raises FileNotFoundError if there is none.
    """
    files, path = file_system(f"{directory.url}/{name}", directory.options)
    return open_range(files, path, files.info(path)["size"])
