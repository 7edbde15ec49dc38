"""Scores: how much an image belongs. One file per method; higher = more in-distribution, everywhere."""

from ood_core.scores.adaneg import AdaNegScorer
from ood_core.scores.batch import ImageBatch, Labels
from ood_core.scores.dataset import score_dataset
from ood_core.scores.debiased import DebiasedScorer, debiased
from ood_core.scores.gl_mcm import GLMCMScorer, local_mcm
from ood_core.scores.image_scorer import ImageScorer, ImageScores
from ood_core.scores.interneg import InterNegScorer
from ood_core.scores.max_cos import MaxCosScorer, max_cos
from ood_core.scores.mcm import MCMScorer, mcm
from ood_core.scores.neglabel import NegLabelScorer, neglabel
from ood_core.scores.negrefine import NegRefineScorer, multi_matching
from ood_core.scores.score_embeddings import score_embeddings
from ood_core.scores.scorer import Learner, Scorer
from ood_core.scores.tanl import TANLScorer, tanl

__all__ = [
    "AdaNegScorer",
    "DebiasedScorer",
    "GLMCMScorer",
    "ImageBatch",
    "ImageScorer",
    "ImageScores",
    "InterNegScorer",
    "Labels",
    "Learner",
    "MCMScorer",
    "MaxCosScorer",
    "NegLabelScorer",
    "NegRefineScorer",
    "Scorer",
    "TANLScorer",
    "debiased",
    "local_mcm",
    "max_cos",
    "mcm",
    "multi_matching",
    "neglabel",
    "score_dataset",
    "score_embeddings",
    "tanl",
]
