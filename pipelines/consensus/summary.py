"""What consensus has found of a scan, for its summary."""

from collections.abc import Mapping
from typing import Any

from ood_core.methods import Method, consensus_of
from pipelines.consensus.files import ConsensusFiles
from pipelines.storage import Directory


def consensus_summary(output: Directory, methods: Mapping[str, Method]) -> dict[str, Any]:
    """How far images agree with their neighbours, and what that was found with; empty if consensus is not finished."""
    chosen = consensus_of(methods)
    known = chosen and ConsensusFiles(output, "").agreement(chosen)
    if not chosen or not known or not known.finished:
        return {}
    return {
        "consensus": {
            "base": chosen.base,
            "agreement": known.agreement,
            "images": known.images,
            "anchors": known.anchor_count,
            "log_odds": {"mean": known.mean, "standard_deviation": known.deviation},
        }
    }
