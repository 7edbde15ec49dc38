"""The metrics against the authors' own outputs."""

import pytest

from ood_core.metrics import metrics
from tests.conformance.given import vectors


@pytest.mark.parametrize("metric", ["auroc", "fpr95", "aupr_in", "aupr_out"])
def test_metrics(metric):
    given = vectors("metrics")
    found = metrics(given["id_score"], given["ood_score"])
    assert getattr(found, metric) == pytest.approx(float(given[metric]), abs=1e-9)
