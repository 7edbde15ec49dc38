"""Consensus: the whole scan as evidence (METHODS.md §10). Ours."""

from ood_core.consensus.agreement import Agreement, Smoothed, Sums, agreed
from ood_core.consensus.anchors import Sample, anchor_count
from ood_core.consensus.dataset import Consented, consensus
from ood_core.consensus.log_odds import log_odds
from ood_core.consensus.votes import Votes, Voting

__all__ = [
    "Agreement",
    "Consented",
    "Sample",
    "Smoothed",
    "Sums",
    "Votes",
    "Voting",
    "agreed",
    "anchor_count",
    "consensus",
    "log_odds",
]
