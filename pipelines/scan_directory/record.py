"""What a scan directory says that it is of, for reports. Free of torch."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ood_core.labels import LabelBank
from ood_core.methods import Parameters
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.errors import CallerError, first_line
from pipelines.inputs.label_bank import load_bank
from pipelines.scan_directory.identity import PLAN_FILE, SCAN_FILE
from pipelines.scan_directory.layout import table_of
from pipelines.storage import Directory


@dataclass(frozen=True)
class Recorded:
    """A scan or rescoring: its configuration, its methods, what its files are known by, and its shards' ids."""

    directory: Directory
    config: Scan | Rescore
    methods: Mapping[str, Parameters]
    labels_hash: str
    fingerprint: str
    shards: tuple[str, ...]

    @classmethod
    def read(cls, directory: Directory) -> "Recorded":
        """Raises CallerError if there is no scan, or one that cannot be read."""
        url = directory.url
        try:
            with reading(url, SCAN_FILE):
                recorded = json.loads(directory.read(SCAN_FILE))
                identity, fingerprint = recorded["identity"], str(recorded["fingerprint"])
                config = (Rescore if identity.get("command") == "rescore" else Scan)(**recorded["config"])
                labels_hash, methods = identity["labels"], _methods(url, config)
            with reading(url, PLAN_FILE):
                shards = tuple(table_of(directory.read(PLAN_FILE), ["id"])["id"].to_pylist())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise CallerError(
                f"SCAN {url!r} is not a scan directory: it has no {SCAN_FILE} or no {PLAN_FILE}"
            ) from error
        return cls(directory, config, methods, labels_hash, fingerprint, shards)

    def bank(self) -> LabelBank:
        """The label bank. Raises CallerError if it cannot be read, or is not the one that the scan was made with."""
        place = Directory(self.config.labels, self.directory.options)
        try:
            bank = load_bank(place, "the label bank")
        except CallerError:
            raise
        except Exception as error:  # every file system has errors of its own
            raise CallerError(f"the label bank {place.url!r} cannot be read: {first_line(error)}") from error
        if bank.content_hash() != self.labels_hash:
            raise CallerError(f"the label bank {place.url!r} has changed since the scan was made")
        return bank


@contextmanager
def reading(url: str, name: str) -> Iterator[None]:
    """Raises CallerError, naming the file, for whatever is wrong with it but that it is not there."""
    try:
        yield
    except (CallerError, FileNotFoundError, NotADirectoryError):
        raise
    except Exception as error:  # every file system has errors of its own
        raise CallerError(f"SCAN {url!r} cannot be read: {name}: {first_line(error)}") from error


def _methods(url: str, config: Scan | Rescore) -> Mapping[str, Parameters]:
    try:
        return config.methods()
    except CallerError as error:
        raise CallerError(f"SCAN {url!r} cannot be read: {SCAN_FILE}: {error}") from error
