"""Of which scan a consensus is, and what it was asked for. Free of torch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ood_core.labels import LabelBank
from ood_core.methods import Consensus
from pipelines.config import Rescore, Scan
from pipelines.errors import CallerError, first_line
from pipelines.identity import PLAN_FILE, SCAN_FILE
from pipelines.label_files import load_bank
from pipelines.memory_reports.scan import reading
from pipelines.outcome import SUMMARY_FILE
from pipelines.parts import committed, table_of
from pipelines.stages.columns import WEIGHT
from pipelines.storage import Directory

Quantiles = Mapping[str, float]


@dataclass(frozen=True)
class Consented:
    """A scan whose every shard has scores by consensus. `weights`: quantiles of how much neighbours counted, where the
    scan's summary has them; `ended`: whether there is a summary."""

    directory: Directory
    config: Scan | Rescore
    labels_hash: str
    fingerprint: str
    parameters: Consensus
    shards: Sequence[str]
    ended: bool
    weights: Quantiles | None

    @classmethod
    def read(cls, directory: Directory) -> "Consented":
        """Raises CallerError if there is no scan, or none whose consensus is finished."""
        url = directory.url
        try:
            with reading(url, SCAN_FILE):
                recorded = json.loads(directory.read(SCAN_FILE))
                identity, fingerprint = recorded["identity"], str(recorded["fingerprint"])
                config = (Rescore if identity.get("command") == "rescore" else Scan)(**recorded["config"])
                labels_hash, parameters = identity["labels"], _parameters(url, config)
            with reading(url, PLAN_FILE):
                shards = table_of(directory.read(PLAN_FILE), ["id"])["id"].to_pylist()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise CallerError(
                f"SCAN {url!r} is not a scan directory: it has no {SCAN_FILE} or no {PLAN_FILE}"
            ) from error
        with reading(url, SUMMARY_FILE):
            ended = directory.exists(SUMMARY_FILE)
            weights = _weights(json.loads(directory.read(SUMMARY_FILE))) if ended else None
        if not ended:
            _check_scored(directory, shards)
        return cls(directory, config, labels_hash, fingerprint, parameters, shards, ended, weights)

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


def _parameters(url: str, config: Scan | Rescore) -> Consensus:
    """Those of consensus. Raises CallerError if it is not among the methods."""
    try:
        methods = config.methods()
    except CallerError as error:
        raise CallerError(f"SCAN {url!r} cannot be read: {SCAN_FILE}: {error}") from error
    for chosen in methods.values():
        if isinstance(chosen, Consensus):
            return chosen
    raise CallerError(
        f"SCAN {url!r} has no anchors: none of its methods {', '.join(methods)} is consensus; "
        "scan or rescore with --method consensus beside one of them"
    )


def _weights(summary: Mapping[str, Any]) -> Quantiles | None:
    quantiles = summary["quantiles"].get(WEIGHT)
    return None if quantiles is None else {str(share): float(value) for share, value in quantiles.items()}


def _check_scored(directory: Directory, shards: Sequence[str]) -> None:
    """Raises CallerError if shards of a scan that has not ended have no scores yet."""
    with reading(directory.url, PLAN_FILE):
        scored = committed(directory) & set(shards)
    if len(scored) < len(shards):
        raise CallerError(
            f"SCAN {directory.url!r} has not finished: {len(scored)} of its {len(shards)} shards have scores by "
            "consensus; rerun the command that it was made with"
        )
