"""Of which scan a consensus is, and what it was asked for. Free of torch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ood_core.methods import Consensus, consensus_of
from pipelines.errors import CallerError
from pipelines.scan_directory.columns import WEIGHT
from pipelines.scan_directory.finish import SUMMARY_FILE
from pipelines.scan_directory.identity import PLAN_FILE
from pipelines.scan_directory.layout import committed
from pipelines.scan_directory.record import ScanRecord, reading
from pipelines.storage import Directory

Quantiles = Mapping[str, float]


@dataclass(frozen=True)
class Consented:
    """A scan whose every shard has scores by consensus. `weights`: quantiles of how much neighbours counted, where the
    scan's summary has them; `ended`: whether there is a summary."""

    recorded: ScanRecord
    parameters: Consensus
    ended: bool
    weights: Quantiles | None

    @classmethod
    def read(cls, directory: Directory) -> "Consented":
        """Raises CallerError if there is no scan, or none whose consensus is finished."""
        recorded = ScanRecord.read(directory)
        parameters = _parameters(recorded)
        with reading(directory.url, SUMMARY_FILE):
            ended = directory.exists(SUMMARY_FILE)
            weights = _weights(json.loads(directory.read(SUMMARY_FILE))) if ended else None
        if not ended:
            _check_scored(directory, recorded.shards)
        return cls(recorded, parameters, ended, weights)

    @property
    def directory(self) -> Directory:
        return self.recorded.directory


def _parameters(recorded: ScanRecord) -> Consensus:
    """Those of consensus. Raises CallerError if it is not among the methods."""
    chosen = consensus_of(recorded.methods)
    if chosen:
        return chosen
    raise CallerError(
        f"SCAN {recorded.directory.url!r} has no anchors: none of its methods {', '.join(recorded.methods)} is "
        "consensus; scan or rescore with --method consensus beside one of them"
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
