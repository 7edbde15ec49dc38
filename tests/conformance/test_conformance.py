"""Against the outputs of the authors' own published functions, through the public API.

The vectors are not part of this repository: OODSCAN_CONFORMANCE names their folder, by default `../shared/conformance`.
Without them the float64 oracles in `tests/ood_core` check the same mathematics.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from ood_core.labels import BankInfo, LabelBank
from ood_core.methods import MCM, NegLabel, Parameters
from ood_core.metrics import metrics
from ood_core.scores import ImageScorer

REPOSITORY = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("OODSCAN_CONFORMANCE") or REPOSITORY.parent / "shared" / "conformance")


def vectors(name: str) -> Mapping[str, np.ndarray]:
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"the authors' vectors are not here: {path} (set OODSCAN_CONFORMANCE to their folder)")
    return np.load(path)


def scores(given: Mapping[str, np.ndarray], negatives: np.ndarray, method: str, parameters: Parameters) -> np.ndarray:
    labels = np.concatenate([given["id_text"], negatives])
    bank = LabelBank(
        texts=[f"label {row}" for row in range(len(labels))],
        parts=["noun"] * len(labels),
        id_count=len(given["id_text"]),
        embeddings=labels,
        selection_scores=np.full(len(labels), np.nan),
        verdicts=[None] * len(labels),
        info=BankInfo(permutation="none", temperature=0.01),
    )
    return ImageScorer(bank, {method: parameters})(torch.from_numpy(given["image"])).scores[method]


@pytest.mark.parametrize(
    ("temperature", "column", "tolerance"),
    # At 0.01 the authors' float32 is itself 1.8e-6 away from a float64 evaluation: no float32 code can promise 1e-6.
    [(1.0, "score_T1", 1e-6), (0.01, "score_T001", 3e-6)],
)
def test_mcm(temperature, column, tolerance):
    given = vectors("mcm")
    found = scores(given, given["id_text"][:0], "mcm", MCM(temperature))
    np.testing.assert_allclose(found, given[column], rtol=0, atol=tolerance)


@pytest.mark.parametrize("groups", [1, 5, 20, 100])
def test_neglabel(groups):
    given = vectors("neglabel")
    found = scores(given, given["neg_text"], "neglabel", NegLabel(groups))
    np.testing.assert_allclose(found, given[f"score_groups_{groups}"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("metric", ["auroc", "fpr95", "aupr_in", "aupr_out"])
def test_metrics(metric):
    given = vectors("metrics")
    found = metrics(given["id_score"], given["ood_score"])
    assert getattr(found, metric) == pytest.approx(float(given[metric]), abs=1e-9)
