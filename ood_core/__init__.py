"""The mathematics of out-of-distribution scoring, and its nouns. No Ray, no network, no clock, no global state.

Scores of pictures in a notebook, without Ray:

    bank = LabelBank.load("bank")
    encoder = ClipEncoder.load("ViT-B-32", "laion2b_s34b_b79k")
    scores = score_embeddings(bank, encoder.encode_pictures(pictures), methods=("max-cos", "neglabel"))

How well scores separate two sets of images: `ood_core.metrics.metrics`. Every name is imported when it is
first used, so `import ood_core` is quick and loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ood_core.encoders import ClipEncoder, ModelError
    from ood_core.labels import BankInfo, LabelBank
    from ood_core.methods import (
        GLMCM,
        MCM,
        METHODS,
        TANL,
        AdaNeg,
        Consensus,
        Debiased,
        InterNeg,
        MaxCos,
        NegLabel,
        NegRefine,
        Reference,
    )
    from ood_core.metrics import Metrics
    from ood_core.scores import ImageScorer, ImageScores, score_dataset, score_embeddings

_MODULES = {
    "ood_core.encoders": ("ClipEncoder", "ModelError"),
    "ood_core.labels": ("BankInfo", "LabelBank"),
    "ood_core.methods": (
        "GLMCM", "MCM", "METHODS", "TANL", "AdaNeg", "Consensus", "Debiased", "InterNeg", "MaxCos", "NegLabel",
        "NegRefine", "Reference",
    ),
    "ood_core.metrics": ("Metrics",),
    "ood_core.scores": ("ImageScorer", "ImageScores", "score_dataset", "score_embeddings"),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "GLMCM",
    "MCM",
    "METHODS",
    "TANL",
    "AdaNeg",
    "BankInfo",
    "ClipEncoder",
    "Consensus",
    "Debiased",
    "ImageScorer",
    "ImageScores",
    "InterNeg",
    "LabelBank",
    "MaxCos",
    "Metrics",
    "ModelError",
    "NegLabel",
    "NegRefine",
    "Reference",
    "score_dataset",
    "score_embeddings",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
