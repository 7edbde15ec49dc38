"""Consensus: smooths a method's scores over neighbouring images (METHODS.md §10). Free of torch, but for `dataset`
and `voting`."""

from ood_core.consensus.agreement import Agreement, Smoothed, Sums, agreed
from ood_core.consensus.anchors import Sample, anchor_count
from ood_core.consensus.log_odds import log_odds
from ood_core.consensus.votes import Votes

__all__ = ["Agreement", "Sample", "Smoothed", "Sums", "Votes", "agreed", "anchor_count", "log_odds"]
