"""A scan with the method consensus, as its directory records it. Free of torch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ood_core.methods import Consensus, consensus_of
from pipelines.consensus.summary import reference_remarks
from pipelines.errors import CallerError
from pipelines.reports.anchors.reference import reference_tables
from pipelines.scan_directory.columns import WEIGHT
from pipelines.scan_directory.layout import PLAN_FILE, SUMMARY_FILE, committed
from pipelines.scan_directory.record import ScanRecord, reading
from pipelines.storage import Directory

Quantiles = Mapping[str, float]
"""Values by the share of images that are at or below them, a number from 0 to 1 as text."""


@dataclass(frozen=True)
class ConsensusScan:
    """A scan whose every shard has scores by consensus.

    `parameters`: those of consensus. `ended`: whether the scan has a summary. `weights`: quantiles of how much an
    image's neighbours counted (column `consensus_weight`), None if the summary does not have them. `reference`: what
    the summary tells of the reference, None if there is none.
    """

    record: ScanRecord
    parameters: Consensus
    ended: bool
    weights: Quantiles | None
    reference: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, directory: Directory) -> "ConsensusScan":
        """The scan in a directory. Raises CallerError if there is none, or none whose consensus is finished."""
        record = ScanRecord.read(directory)
        parameters = _parameters(record)
        with reading(directory.url, SUMMARY_FILE):
            ended = directory.exists(SUMMARY_FILE)
            summary = json.loads(directory.read(SUMMARY_FILE)) if ended else {}
            weights = _weights(summary) if ended else None
            reference = _reference(summary) if ended else None
        if not ended:
            _check_scored(directory, record.shards)
        return cls(record, parameters, ended, weights, reference)

    @property
    def directory(self) -> Directory:
        return self.record.directory


def _parameters(record: ScanRecord) -> Consensus:
    """The scan's parameters of consensus. Raises CallerError if consensus is not among its methods."""
    chosen = consensus_of(record.methods)
    if chosen:
        return chosen
    raise CallerError(
        f"SCAN {record.directory.url!r} has no anchors: none of its methods {', '.join(record.methods)} is "
        "consensus; scan or rescore with --method consensus beside one of them"
    )


def _weights(summary: Mapping[str, Any]) -> Quantiles | None:
    """The quantiles of `consensus_weight` in the content of `summary.json`, None if it has none."""
    quantiles = summary["quantiles"].get(WEIGHT)
    return None if quantiles is None else {str(share): float(value) for share, value in quantiles.items()}


def _reference(summary: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the content of `summary.json` tells of the reference, None if nothing. Raises what it takes to see that it
    cannot be shown."""
    found = summary.get("learned", {}).get("reference")
    if found is not None:
        _ = [*reference_tables(found), *reference_remarks({"reference": found})]
    return found


def _check_scored(directory: Directory, shards: Sequence[str]) -> None:
    """Raises CallerError if some of the shards have no score table yet."""
    with reading(directory.url, PLAN_FILE):
        scored = committed(directory) & set(shards)
    if len(scored) < len(shards):
        raise CallerError(
            f"SCAN {directory.url!r} has not finished: {len(scored)} of its {len(shards)} shards have scores by "
            "consensus; rerun the command that it was made with"
        )
