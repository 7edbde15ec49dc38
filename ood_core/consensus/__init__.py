"""Consensus: smooths a method's scores over neighbouring images (METHODS.md §10). Free of torch, but for `dataset`
and `voting`."""

from ood_core.consensus.agreement import Agreement, Smoothed, agreed
from ood_core.consensus.anchors import Sample, anchor_count
from ood_core.consensus.base import Base, Terms
from ood_core.consensus.log_odds import log_odds
from ood_core.consensus.reference import ReferenceSums
from ood_core.consensus.sums import Sums
from ood_core.consensus.verdicts import VerdictSums
from ood_core.consensus.votes import LabelVotes, Votes

__all__ = [
    "Agreement",
    "Base",
    "LabelVotes",
    "ReferenceSums",
    "Sample",
    "Smoothed",
    "Sums",
    "Terms",
    "VerdictSums",
    "Votes",
    "agreed",
    "anchor_count",
    "log_odds",
]
