"""Scores: how much an image belongs. One file per method; higher = more in-distribution, everywhere."""

from ood_core.scores.batch import ImageBatch, Labels
from ood_core.scores.image_scorer import ImageScorer, ImageScores
from ood_core.scores.mcm import MCMScorer, mcm
from ood_core.scores.neglabel import NegLabelScorer, neglabel
from ood_core.scores.scorers import SCORERS, Scorer

__all__ = [
    "SCORERS",
    "ImageBatch",
    "ImageScorer",
    "ImageScores",
    "Labels",
    "MCMScorer",
    "NegLabelScorer",
    "Scorer",
    "mcm",
    "neglabel",
]
