"""Methods that ask more of a scan than embeddings; those that it, or its model, cannot serve are refused at once."""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from ood_core.decoding import Decoder
from ood_core.encoders import ClipEncoder
from ood_core.labels import LabelBank
from ood_core.methods import GLMCM, MCM, of_images
from ood_core.preprocessing import Preprocessing
from ood_core.scores import ImageScorer
from ood_core.vocabulary import CSP
from pipelines.config.model import Model
from pipelines.config.pools import EncodePool
from pipelines.config.scan import Scan
from pipelines.errors import CallerError
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.records import records
from pipelines.runtime.model import ModelFacts, ModelSpec
from pipelines.scans.checks import check_local_features
from pipelines.scans.scan import scan
from pipelines.scans.workers.decode import decode
from tests.conftest import settled_dtype
from tests.ood_core.conftest import write_model


def asked(dataset: Path, bank: Path, output: Path, *methods: str, model: str = "bundled") -> Scan:
    return Scan(
        input=(str(dataset / "folder"),),
        labels=str(bank),
        output=str(output),
        method=methods,
        model=Model(name=model),
        encode=EncodePool(workers=1, batch_size=7),
        max_bad_fraction=0.2,
    )


def test_a_scan_by_places_and_by_pairs_of_labels_equals_the_plain_functions(
    ray_session: None, dataset: Path, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model", "clip")
    encoder = ClipEncoder.load(model, dtype=settled_dtype(model))
    texts = ["cat", "dog", "horse", "hammer", "flag", "bridge"]
    bank = LabelBank(texts, ["noun"] * 6, 3, encoder.encode_texts(texts).numpy(), np.full(6, np.nan), [None] * 6)
    bank.save(tmp_path / "bank")
    chosen = asked(dataset, tmp_path / "bank", tmp_path / "scan", "gl-mcm", "negrefine", model=model)
    assert scan(chosen)["statuses"]["ok"] == 27
    table = pq.read_table(tmp_path / "scan" / "scores").sort_by("index")
    score = ImageScorer(bank, of_images(chosen.methods()), encode=partial(encoder.encode_ensembles, CSP.noun))
    (shard,) = plan_images(chosen.input, chosen.read, {}).shards
    for row, record in zip(table.to_pylist(), records(shard, chosen.read, {}), strict=True):
        decoded = decode(record, Decoder(encoder.preprocessing))
        found = [row["score_gl_mcm"], row["score_negrefine"]]
        if decoded.pixels is not None:
            pixels = torch.tensor(decoded.pixels)[None]
            expected = score(*encoder.encode_images_locally(pixels)).scores
            assert found == [expected["gl-mcm"][0], expected["negrefine"][0]]
        else:
            assert found == [None, None]


def test_the_papers_order_is_sent_to_rescore(dataset: Path, bank_directory: Path, tmp_path: Path) -> None:
    chosen = asked(dataset, bank_directory, tmp_path / "scan", "mcm", "adaneg")
    with pytest.raises(CallerError) as refused:
        scan(chosen.model_copy(update={"order": "sequential"}))
    assert str(refused.value) == (
        "--order sequential is that of one process: scan with --embeddings, then `oodscan rescore --embeddings "
        f"{tmp_path}/scan/embeddings --order sequential …`"
    )
    assert not (tmp_path / "scan").exists()


def test_gl_mcm_with_a_model_without_local_features_is_refused(
    ray_session: None, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        CallerError, match="--method gl-mcm needs local features, which --model 'bundled' does not give: "
    ):
        scan(asked(dataset, bank_directory, tmp_path / "scan", "gl-mcm"))
    assert not (tmp_path / "scan" / "scan.json").exists()


@pytest.mark.parametrize(("methods", "why_not"), [({"gl-mcm": GLMCM()}, None), ({"mcm": MCM()}, "it is a TimmModel")])
def test_local_features_matter_only_where_a_method_asks_and_the_model_has_none(
    methods: dict, why_not: str | None
) -> None:
    check_local_features(methods, ModelSpec("tiny"), ModelFacts("weights", 4, 0.01, Preprocessing((8, 8)), why_not))
