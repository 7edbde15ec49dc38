"""Every method's scores against the authors' own, through the Python API (`test_rescore.py`: through the pipeline)."""

import numpy as np
import pytest
import torch

from ood_core.methods import MCM, AdaNeg, Debiased, NegLabel, NegRefine
from ood_core.scores import score_dataset
from tests.conformance.given import bank, keys, pair_embeddings, vectors

CASES = [
    # At 0.01 the authors' float32 is itself 1.8e-6 away from a float64 evaluation: no float32 code can promise 1e-6.
    pytest.param("mcm", "mcm", MCM(1.0), "score_T1", 1e-6, id="mcm"),
    pytest.param("mcm", "mcm", MCM(0.01), "score_T001", 3e-6, id="mcm-0.01"),
    *(
        pytest.param("neglabel", "neglabel", NegLabel(groups), f"score_groups_{groups}", 1e-5, id=f"neglabel-{groups}")
        for groups in (1, 5, 20, 100)
    ),
    pytest.param("negrefine", "neglabel", NegLabel(100), "neglabel", 1e-5, id="negrefine-neglabel"),
    pytest.param("negrefine", "negrefine", NegRefine(), "score", 1e-5, id="negrefine"),
    pytest.param("debiased_tau0.5", "debiased", Debiased(20, 0.5), "score", 1e-5, id="debiased-0.5"),
    pytest.param("debiased_tau0.12", "debiased", Debiased(20, 0.12), "score", 1e-3, id="debiased-0.12"),
    *(
        pytest.param(
            f"adaneg_{'adagap_' if gap else ''}{proxies}",
            "adaneg",
            AdaNeg(memory_length=4, proxies=proxies, adaptive_gap=gap, order="sequential", batch_size=40),
            "score",
            1e-4,
            id=f"adaneg-{proxies}{'-adagap' if gap else ''}",
        )
        for proxies in ("task", "sample")
        for gap in (False, True)
    ),
]


@pytest.mark.parametrize(("file", "method", "parameters", "column", "tolerance"), CASES)
def test_a_score_is_the_authors(file, method, parameters, column, tolerance):
    given = vectors(file)
    encode = pair_embeddings(given) if file == "negrefine" else None
    images = torch.from_numpy(given["image"])
    found = score_dataset(bank(given), {method: parameters}, images, keys(given), encode=encode)
    np.testing.assert_allclose(found.scores[method], given[column], rtol=0, atol=tolerance)
