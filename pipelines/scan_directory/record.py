"""Reads scan.json and plan.parquet, for commands that look at a scan. Free of torch."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ood_core.labels import LabelBank
from ood_core.methods import Method
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.errors import CallerError
from pipelines.inputs.label_bank import load_bank
from pipelines.scan_directory.identity import Fingerprints
from pipelines.scan_directory.layout import PLAN_FILE, SCAN_FILE, read_table
from pipelines.storage import Directory, storage_errors


@dataclass(frozen=True)
class ScanRecord:
    """A scan or rescoring as its directory records it: configuration, methods, what its rows depend on, fingerprint and
    shard ids."""

    directory: Directory
    config: Scan | Rescore
    methods: Mapping[str, Method]
    identity: Mapping[str, Any]
    fingerprint: str
    shards: tuple[str, ...]

    @classmethod
    def read(cls, directory: Directory, called: str = "SCAN") -> "ScanRecord":
        """Raises CallerError, in which the scan is `called` so, if there is none, or one that cannot be read."""
        url = directory.url
        try:
            with reading(url, SCAN_FILE, called):
                recorded = json.loads(directory.read(SCAN_FILE))
                identity, fingerprint = recorded["identity"], str(recorded["fingerprint"])
                config = (Rescore if identity.get("command") == "rescore" else Scan)(**recorded["config"])
                config = config.model_copy(update={"output": url})  # it may have been moved, or copied
                methods, _ = _methods(url, config), identity["labels"]
            with reading(url, PLAN_FILE, called):
                shards = tuple(read_table(directory, PLAN_FILE, ["id"])["id"].to_pylist())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise CallerError(
                f"{called} {url!r} is not a scan directory: it has no {SCAN_FILE} or no {PLAN_FILE}"
            ) from error
        return cls(directory, config, methods, identity, fingerprint, shards)

    @property
    def fingerprints(self) -> Fingerprints:
        """What its tables carry."""
        return Fingerprints.of_identity(self.identity, self.methods, self.config.memory.freeze)

    @property
    def labels_hash(self) -> str:
        """The content hash of the label bank."""
        return str(self.identity["labels"])

    def bank(self) -> LabelBank:
        """The label bank. Raises CallerError if it cannot be read, or is not the one that the scan was made with."""
        place = Directory(self.config.labels, self.directory.options)
        with storage_errors(f"the label bank {place.url!r}"):
            bank = load_bank(place, "the label bank")
        if bank.content_hash() != self.labels_hash:
            raise CallerError(f"the label bank {place.url!r} has changed since the scan was made")
        return bank


@contextmanager
def reading(url: str, name: str, called: str = "SCAN") -> Iterator[None]:
    """Turns whatever is wrong with a scan's file into a CallerError that names it; a missing file passes through."""
    missing = None
    with storage_errors(f"{called} {url!r}", f"cannot be read: {name}"):
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = error
    if missing:
        raise missing


def _methods(url: str, config: Scan | Rescore) -> Mapping[str, Method]:
    try:
        return config.methods()
    except CallerError as error:
        raise CallerError(f"SCAN {url!r} cannot be read: {SCAN_FILE}: {error}") from error
