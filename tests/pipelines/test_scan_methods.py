"""Methods that a scan, or its model, cannot serve are refused before any work."""

from pathlib import Path

import pytest

from ood_core.methods import GLMCM, MCM
from ood_core.preprocessing import Preprocessing
from pipelines.config import Model, Scan
from pipelines.errors import CallerError
from pipelines.scan import Run, check_local_features, scan
from pipelines.stages.encode import ModelFacts, ModelSpec


def asked(dataset: Path, bank: Path, output: Path, *methods: str) -> Scan:
    return Scan(
        input=(str(dataset / "folder"),),
        labels=str(bank),
        output=str(output),
        method=methods,
        model=Model(name="bundled"),
    )


@pytest.mark.parametrize("method", ["adaneg", "interneg"])
def test_a_method_that_learns_from_the_whole_input_is_sent_to_rescore(
    method: str, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    with pytest.raises(CallerError) as refused:
        Run.prepare(asked(dataset, bank_directory, tmp_path / "scan", "mcm", method), {})
    assert str(refused.value) == (
        f"--method {method} learns from the whole input, and a scan goes over it once: scan with --embeddings, "
        f"then `oodscan rescore --embeddings {tmp_path}/scan/embeddings --method {method} …`"
    )
    assert not (tmp_path / "scan").exists()


def test_gl_mcm_with_a_model_without_local_features_is_refused(
    ray_session: None, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    run = Run.prepare(asked(dataset, bank_directory, tmp_path / "scan", "gl-mcm"), {})
    with pytest.raises(
        CallerError, match="--method gl-mcm needs local features, which --model 'bundled' does not give: "
    ):
        scan(run)
    assert not (tmp_path / "scan" / "scan.json").exists()


@pytest.mark.parametrize(("methods", "why_not"), [({"gl-mcm": GLMCM()}, None), ({"mcm": MCM()}, "it is a TimmModel")])
def test_local_features_matter_only_where_a_method_asks_and_the_model_has_none(
    methods: dict, why_not: str | None
) -> None:
    check_local_features(methods, ModelSpec("tiny"), ModelFacts("weights", 4, 0.01, Preprocessing((8, 8)), why_not))
