"""The methods: their names, parameters and defaults. Free of torch, so that a caller's mistake is found at once."""

from ood_core.methods.adaneg import AdaNeg
from ood_core.methods.consensus import MIN_ANCHORS, Consensus, consensus_of
from ood_core.methods.debiased import Debiased
from ood_core.methods.deciding import deciding_method
from ood_core.methods.gl_mcm import GLMCM
from ood_core.methods.interneg import InterNeg
from ood_core.methods.max_cos import MaxCos
from ood_core.methods.mcm import MCM
from ood_core.methods.method import (
    ImageMethod,
    LearningMethod,
    Method,
    Order,
    learners_of,
    of_images,
    score_column,
)
from ood_core.methods.neglabel import NegLabel
from ood_core.methods.negrefine import NegRefine
from ood_core.methods.reference import Reference, bases_of, reference_of, settled, takes_verdicts, uses_reference
from ood_core.methods.table import METHODS
from ood_core.methods.tanl import TANL, choosers_of
from ood_core.methods.verdicts import Verdicts, verdicts_of

__all__ = [
    "GLMCM",
    "MCM",
    "METHODS",
    "MIN_ANCHORS",
    "TANL",
    "AdaNeg",
    "Consensus",
    "Debiased",
    "ImageMethod",
    "InterNeg",
    "LearningMethod",
    "MaxCos",
    "Method",
    "NegLabel",
    "NegRefine",
    "Order",
    "Reference",
    "Verdicts",
    "bases_of",
    "choosers_of",
    "consensus_of",
    "deciding_method",
    "learners_of",
    "of_images",
    "reference_of",
    "score_column",
    "settled",
    "takes_verdicts",
    "uses_reference",
    "verdicts_of",
]
